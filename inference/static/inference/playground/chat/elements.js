/** What messages and the field for the next one have in common. */

import { button } from "../dom.js";

/** A button that copies what `text()` gives. */
export function copyButton(text) {
  const made = button("Copy", async () => {
    try {
      await navigator.clipboard.writeText(text());
      made.textContent = "Copied";
    } catch {
      made.textContent = "No clipboard without HTTPS"; // browsers have one on HTTPS and localhost only
    }
    setTimeout(() => (made.textContent = "Copy"), 2000);
  });
  return made;
}

const touches = () => matchMedia("(pointer: coarse)").matches;

/** What the keys do in a field for a message. */
export function keys() {
  return touches() ? "Enter begins a line." : "Enter sends, Shift+Enter begins a line, Escape stops an answer.";
}

/** Whether this key press in a field is to send it; on a touch screen, Enter begins a line. */
export function sends(event) {
  if (event.key !== "Enter" || event.isComposing || event.shiftKey) return false;
  return event.ctrlKey || event.metaKey || !touches();
}
