/** Texts in the order in which they answer a query. */

import { el } from "../dom.js";
import { bars } from "./bars.js";
import { shortened } from "./preview.js";

/** @type {import("./index.js").Show} */
export function show(output, { input }) {
  const rows = output.map(({ index, score, text }) => ({
    name: el("span", {}, text ?? input.texts[index], el("span", { class: "quiet" }, ` · text ${index + 1}`)),
    value: score,
  }));
  if (!rows.length) return el("p", { class: "summary" }, "No text.");
  const best = output[0].text ?? input.texts[output[0].index];
  return el(
    "div",
    { class: "ranking" },
    el("p", { class: "quiet" }, "For “", input.query, "”, the best first"),
    el("p", { class: "visually-hidden summary" }, `Best: ${shortened(best)}`),
    bars(rows, { label: "Texts, the best first", most: 25 }),
  );
}
