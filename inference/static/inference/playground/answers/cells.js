/** Cells of a table that answer a question. */

import { el } from "../dom.js";

/** @type {import("./index.js").Show} */
export function show(output, { input }) {
  const found = new Set((output.coordinates ?? []).map(([row, column]) => `${row} ${column}`));
  const columns = Object.entries(input.table);
  const rows = columns[0]?.[1].length ?? 0;
  const body = Array.from({ length: rows }, (_, row) =>
    el(
      "tr",
      {},
      ...columns.map(([, cells], column) =>
        el("td", {}, found.has(`${row} ${column}`) ? el("mark", { class: "hue-0" }, cells[row]) : cells[row]),
      ),
    ),
  );
  const head = columns.map(([name]) => el("th", { scope: "col" }, name));
  const aggregator = output.aggregator && output.aggregator !== "NONE" ? output.aggregator.toLowerCase() : "";
  return el(
    "div",
    {},
    el(
      "p",
      { class: "summary verdict" },
      output.cells?.length ? output.cells.join(", ") : output.answer || "No cell answers the question.",
    ),
    aggregator &&
      el(
        "p",
        { class: "quiet" },
        `The model says that the answer is the ${aggregator} of these cells; it is yours to compute.`,
      ),
    el(
      "div",
      { class: "wide", tabIndex: 0, role: "group", "aria-label": "The table with its answer" },
      el("table", { class: "table cells" }, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...body)),
    ),
  );
}
