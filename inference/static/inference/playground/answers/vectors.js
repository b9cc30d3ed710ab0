/** Vectors: how large and how long they are, their first numbers, and a picture of all. */

import { el } from "../dom.js";
import { counted, short } from "./numbers.js";
import { beside } from "./stage.js";

const FIRST = 8;
const WIDE = 640;
const HIGH = 64;

/** @type {import("./index.js").Show} */
export function show(output, { input }) {
  const vectors = rows(output);
  if (vectors.length === 1) return beside(input, one(vectors[0], ""));
  const numbers = el("input", { type: "number", min: 1, max: vectors.length, value: 1, id: `vector-${++made}` });
  const shown = el("div", {}, one(vectors[0], "Vector 1: "));
  numbers.addEventListener("input", () => {
    const number = Math.min(vectors.length, Math.max(1, Math.trunc(Number(numbers.value)) || 1));
    shown.replaceChildren(one(vectors[number - 1], `Vector ${number}: `));
  });
  const many = `${counted(vectors.length, "vector")} of ${counted(vectors[0].length, "number")}`;
  return beside(
    input,
    el(
      "div",
      {},
      el("p", { class: "summary" }, `${many}, one for each ${typeof input === "string" ? "token" : "part"}`),
      el("div", { class: "row which" }, el("label", { for: numbers.id }, "Show vector"), numbers),
      shown,
    ),
  );
}

let made = 0;

/** @param {any} output a vector, or lists of vectors @returns {number[][]} */
export function rows(output) {
  if (typeof output[0] === "number") return [output];
  return typeof output[0][0] === "number" ? output : output.flat();
}

function one(vector, name) {
  let square = 0;
  for (const number of vector) square += number * number;
  const smallest = vector.reduce((one, other) => Math.min(one, other));
  const largest = vector.reduce((one, other) => Math.max(one, other));
  const facts = [
    ["Length", short(Math.sqrt(square))],
    ["Smallest, largest", `${short(smallest)}, ${short(largest)}`],
    ["First numbers", `${vector.slice(0, FIRST).map(short).join(", ")}${vector.length > FIRST ? ", …" : ""}`],
  ];
  return el(
    "div",
    { class: "vector" },
    el("p", { class: name ? "quiet" : "summary" }, `${name}${counted(vector.length, "number")}`),
    sparkline(vector, Math.max(Math.abs(smallest), Math.abs(largest)) || 1),
    el("dl", { class: "facts" }, ...facts.flatMap(([term, value]) => [el("dt", {}, term), el("dd", {}, value)])),
  );
}

/** A line from each number to zero; of many numbers, from the smallest to the largest of those in a pixel. */
function sparkline(vector, largest) {
  const columns = Math.min(vector.length, WIDE / 2);
  const y = (value) => (HIGH / 2 - (value / largest) * (HIGH / 2 - 2)).toFixed(1);
  let path = "";
  for (let column = 0; column < columns; column += 1) {
    const from = Math.floor((column * vector.length) / columns);
    const to = Math.max(from + 1, Math.floor(((column + 1) * vector.length) / columns));
    const some = vector.slice(from, to);
    const x = (((column + 0.5) * WIDE) / columns).toFixed(1);
    path += `M${x} ${y(Math.min(0, ...some))}V${y(Math.max(0, ...some))}`;
  }
  return shape(
    "svg",
    { class: "sparkline", viewBox: `0 0 ${WIDE} ${HIGH}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    shape("line", { x1: 0, x2: WIDE, y1: HIGH / 2, y2: HIGH / 2 }),
    shape("path", { d: path, "stroke-width": Math.max(1, Math.min(6, (WIDE / columns) * 0.6)).toFixed(1) }),
  );
}

function shape(name, attributes, ...content) {
  const drawn = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [attribute, value] of Object.entries(attributes)) drawn.setAttribute(attribute, String(value));
  drawn.append(...content);
  return drawn;
}
