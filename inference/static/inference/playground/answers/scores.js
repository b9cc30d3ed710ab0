/** How close sentences are to another one. */

import { el } from "../dom.js";
import { bars } from "./bars.js";
import { short } from "./numbers.js";

/** @type {import("./index.js").Show} */
export function show(output, { input }) {
  const sentences = input.sentences ?? [];
  const rows = output
    .map((value, number) => ({ name: sentences[number] ?? `Sentence ${number + 1}`, value }))
    .toSorted((one, other) => other.value - one.value);
  return el(
    "div",
    {},
    el("p", { class: "quiet" }, "Compared with “", input.source_sentence ?? "", "”, the closest first"),
    el("p", { class: "visually-hidden summary" }, `Closest: ${rows[0].name}, ${short(rows[0].value)}`),
    bars(rows, { label: "Sentences by similarity", signed: true, most: 64 }),
  );
}
