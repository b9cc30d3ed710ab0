/** A list of answers, each beside its input. */

import { el } from "../dom.js";
import { counted } from "./numbers.js";
import { preview } from "./preview.js";

/**
 * @param {any[]} outputs
 * @param {any[]} inputs
 * @param {any} description
 * @param {(output: any, input: any) => HTMLElement} show
 */
export async function several(outputs, inputs, description, show) {
  const list = el("ol", { class: "several" });
  for (const [number, output] of outputs.entries()) {
    const answer = show(output, inputs[number]);
    for (const part of answer.querySelectorAll(".summary")) part.classList.remove("summary");
    list.append(
      el(
        "li",
        {},
        el("div", { class: "asked" }, preview(inputs[number], answer.querySelector(".stage, audio") !== null)),
        answer,
      ),
    );
  }
  const made = el("div", {}, el("p", { class: "visually-hidden summary" }, counted(outputs.length, "answer")), list);
  if (description.output !== "vectors") return made;
  const { similarities } = await import("./similarities.js");
  const matrix = similarities(outputs, inputs);
  if (matrix) list.before(matrix);
  return made;
}
