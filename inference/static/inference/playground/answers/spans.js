/** Labelled parts of a text: marked in it, and as a table. */

import { el } from "../dom.js";
import { marked } from "./marked.js";
import { counted, percent } from "./numbers.js";
import { palette } from "./palette.js";

const MOST_ROWS = 200;

/** @type {import("./index.js").Show} */
export function show(output, { input }) {
  const text = String(input);
  if (output.length === 0) {
    const none = el("p", { class: "summary" }, "No part of the text has a label.");
    return el("div", {}, none, marked(text, [], "The text"));
  }
  const hueOf = palette();
  const spans = output.map((span) => ({ ...span, label: span.entity_group ?? span.entity }));
  const marks = spans
    .filter((span) => Number.isInteger(span.start) && Number.isInteger(span.end))
    .map(({ start, end, label, score }) => ({
      start,
      end,
      label,
      hue: hueOf(kind(label)),
      title: `${label} ${percent(score)}`,
    }));
  const counts = Object.entries(Object.groupBy(spans, (span) => kind(span.label)));
  const summary = counts.map(([label, each]) => `${each.length} ${label}`).join(", ");
  return el(
    "div",
    {},
    el("p", { class: "summary quiet" }, `${counted(spans.length, "part")} of the text: ${summary}`),
    marked(text, marks, "The text with its labelled parts"),
    el("details", { class: "more" }, el("summary", {}, "As a table"), table(spans, hueOf)),
  );
}

/** The beginning and the inside of an entity (`B-PER`, `I-PER`) are of one kind. @param {string} label */
const kind = (label) => label.replace(/^[BIESLU]-(?=.)/, "");

function table(spans, hueOf) {
  const rows = spans
    .slice(0, MOST_ROWS)
    .map((span) =>
      el(
        "tr",
        {},
        el("td", {}, span.word),
        el("td", {}, el("span", { class: `swatch ${hueOf(kind(span.label))}` }), span.label),
        el("td", { class: "number", title: span.score }, percent(span.score)),
        el("td", { class: "number" }, span.start ?? "–"),
        el("td", { class: "number" }, span.end ?? "–"),
      ),
    );
  const head = ["Words", "Label", "Score", "From", "To"].map((name, column) =>
    el("th", { class: column > 1 ? "number" : "", scope: "col" }, name),
  );
  const rest = spans.length - rows.length;
  return el(
    "div",
    { class: "wide", tabIndex: 0, role: "group", "aria-label": "Labelled parts" },
    el("table", { class: "table" }, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...rows)),
    rest > 0 && el("p", { class: "quiet" }, `${rest} more are in the JSON.`),
  );
}
