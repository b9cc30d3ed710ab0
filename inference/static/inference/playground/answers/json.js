import { el } from "../dom.js";

/** Any answer, as it came. @param {any} output @returns {HTMLElement} */
export function json(output) {
  const text = JSON.stringify(output, null, 2) ?? String(output);
  return el("div", { class: "code" }, el("pre", { tabIndex: 0, "aria-label": "Answer in JSON" }, text));
}
