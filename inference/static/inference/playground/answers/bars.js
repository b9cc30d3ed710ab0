/** A list of names with bars. */

import { el } from "../dom.js";
import { areProbabilities, percent, short } from "./numbers.js";

const SHOWN = 10;

/**
 * @typedef {object} Row
 * @property {string | Node} name
 * @property {number} value
 * @property {string} [hue] a class of the palette
 */

/**
 * @param {Row[]} rows
 * @param {{label: string, signed?: boolean, most?: number}} options `signed`: values from -1 to 1, and the bars begin
 *   in the middle where one is below 0
 */
export function bars(rows, { label, signed = false, most = SHOWN }) {
  const values = rows.map((row) => row.value);
  const probable = !signed && areProbabilities(values);
  const longest = probable || signed ? 1 : Math.max(...values.map(Math.abs), 1e-12);
  const list = el("ol", { class: "bars", "aria-label": label });
  const below = values.some((value) => value < 0);
  if (below) list.classList.add("signed");
  const show = (/** @type {Row[]} */ some) =>
    list.append(...some.map((row) => bar(row, Math.min(1, Math.abs(row.value) / longest), probable)));
  show(rows.slice(0, most));
  if (rows.length <= most) return list;
  const rest = rows.slice(most);
  const more = el("button", { class: "button quiet small", type: "button" }, `Show ${rest.length} more`);
  more.addEventListener("click", () => {
    show(rest);
    more.remove();
  });
  return el("div", {}, list, more);
}

function bar(row, part, probable) {
  const fill = el("span", { class: "fill", style: { "--part": part.toFixed(4) } });
  if (row.hue) fill.classList.add(row.hue);
  if (row.value < 0) fill.classList.add("below");
  return el(
    "li",
    {},
    el("span", { class: "name" }, row.name),
    el("span", { class: "track", "aria-hidden": "true" }, fill),
    el("span", { class: "value", title: row.value }, probable ? percent(row.value) : short(row.value)),
  );
}
