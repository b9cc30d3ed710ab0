/** Texts with fenced code (```), which is shown as code. Other Markdown stays as it was written. */

import { addCopyButtons } from "../../copy.js";
import { el } from "../dom.js";

/**
 * @param {string} text
 * @returns {{code: boolean, text: string}[]} a fence without an end holds the rest: it may still be being written
 */
export function segments(text) {
  const found = [];
  let code = false;
  for (const line of text.split(/(?<=\n)/)) {
    if (code ? /^ {0,3}```\s*$/.test(line) : /^ {0,3}```[^`]*$/.test(line)) {
      code = !code;
      if (code) found.push({ code, text: "" });
    } else if (found.length && found.at(-1).code === code) {
      found.at(-1).text += line;
    } else {
      found.push({ code, text: line });
    }
  }
  return found;
}

/**
 * Show a text that may have grown since it was last shown; what is the same stays in place.
 * @param {HTMLElement} element
 */
export function show(element, text) {
  const parts = segments(text);
  for (const [number, part] of parts.entries()) {
    let shown = element.children[number];
    if (shown?.classList.contains("code") !== part.code) {
      const made = part.code ? code() : prose();
      shown ? shown.replaceWith(made) : element.append(made);
      shown = made;
    }
    const target = part.code ? shown.querySelector("code") : shown;
    const said = part.code ? part.text : beside(part.text, number > 0, number < parts.length - 1);
    if (target.textContent !== said) target.textContent = said;
  }
  while (element.children.length > parts.length) element.lastElementChild.remove();
}

/** What was shown is complete: its code can be copied. */
export function complete(element) {
  addCopyButtons(element);
}

/** Without the blank lines towards the code before and after it, which has a margin. */
function beside(text, after, before) {
  const begin = after ? text.replace(/^\n+/, "") : text;
  return before ? begin.replace(/\n+$/, "") : begin;
}

function prose() {
  return el("div", { class: "prose" });
}

function code() {
  return el("div", { class: "code" }, el("pre", { tabIndex: 0 }, el("code"))); // focusable, since it scrolls
}
