/** A text as it is generated, as plain text. */

import { el } from "./dom.js";

/** @returns {import("./inputs/index.js").View} */
export function plainView() {
  const text = el("div", { class: "pg-stream", "aria-busy": "true", "aria-live": "off" });
  return {
    element: text,
    token: (frame) => text.append(frame.text),
    done: () => text.removeAttribute("aria-busy"),
    failed: () => text.removeAttribute("aria-busy"),
  };
}
