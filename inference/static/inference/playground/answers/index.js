/** Answers as people read them, by output kind. */

import { el } from "../dom.js";
import { formatted } from "../json_text.js";

/**
 * @param {any} output
 * @param {{description: any, inputs: any, parameters: Record<string, any>}} context
 * @returns {HTMLElement}
 */
export function render(output, context) {
  return el("pre", { class: "pg-raw" }, formatted(output));
}
