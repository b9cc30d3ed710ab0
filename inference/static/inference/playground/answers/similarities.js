/** How close the vectors of several inputs are to each other: the cosine of the angle between each two. */

import { el } from "../dom.js";
import { preview, shortened, words } from "./preview.js";
import { rows } from "./vectors.js";

const MOST = 24;

/** @param {any[]} outputs @param {any[]} inputs @returns {HTMLElement | null} for inputs with one vector each */
export function similarities(outputs, inputs) {
  const vectors = outputs.map((output) => (Array.isArray(output) && output.length ? rows(output) : []));
  if (vectors.length < 2 || vectors.some((each) => each.length !== 1)) return null;
  const units = vectors.slice(0, MOST).map(([vector]) => normalised(vector));
  const head = units.map((_, number) => el("th", { class: "number", scope: "col" }, number + 1));
  const body = units.map((row, number) =>
    el(
      "tr",
      {},
      el(
        "th",
        { scope: "row", title: title(inputs[number]) },
        el("span", { class: "quiet" }, `${number + 1} `),
        name(inputs[number]),
      ),
      ...units.map((column) => cell(dot(row, column))),
    ),
  );
  const left = vectors.length - units.length;
  return el(
    "div",
    { class: "matrix" },
    el("h3", {}, "Similarity"),
    el(
      "div",
      { class: "wide", tabIndex: 0, role: "group", "aria-label": "Similarity of each two inputs" },
      el("table", {}, el("thead", {}, el("tr", {}, el("td"), ...head)), el("tbody", {}, ...body)),
    ),
    el(
      "p",
      { class: "quiet" },
      `Cosine of the angle between two vectors: 1 is the same direction, 0 none in common.${left > 0 ? ` The first ${MOST} inputs.` : ""}`,
    ),
  );
}

const title = (input) => (typeof input === "string" ? input : null);
const name = (input) => (typeof input === "string" ? shortened(words(input), 40) : preview(input));

function cell(value) {
  return el("td", { class: "number", style: { "--part": Math.max(0, value).toFixed(3) } }, value.toFixed(2));
}

function normalised(vector) {
  const length = Math.hypot(...vector) || 1;
  return vector.map((number) => number / length);
}

function dot(one, other) {
  let sum = 0;
  for (let place = 0; place < Math.min(one.length, other.length); place += 1) sum += one[place] * other[place];
  return sum;
}
