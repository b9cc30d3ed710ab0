/** Labels with scores: bars, the best first. */

import { el } from "../dom.js";
import { bars } from "./bars.js";
import { areProbabilities, percent, short } from "./numbers.js";
import { beside } from "./stage.js";

/** @type {import("./index.js").Show} */
export function show(output, { input }) {
  const rows = labelled(output).map(({ label, score }) => ({ name: label, value: score }));
  if (!rows.length) return el("p", { class: "summary" }, "No label.");
  const [{ name, value }] = rows;
  const score = areProbabilities(rows.map((row) => row.value)) ? percent(value) : short(value);
  const best = el("p", { class: "summary verdict" }, name, " ", el("span", { class: "quiet" }, score));
  return beside(input, el("div", {}, best, bars(rows, { label: "Labels and scores" })));
}

/** As objects, best first, of the pipeline's forms and those of the clients of Hugging Face. */
function labelled(output) {
  if (Array.isArray(output)) return output.flat();
  return output.labels.map((label, number) => ({ label, score: output.scores[number] }));
}
