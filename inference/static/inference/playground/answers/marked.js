/** A text with marked places. */

import { el } from "../dom.js";
import { unitOffsets } from "./codepoints.js";

const AROUND = 1500;
/** UTF-16 units that are shown before and after the marks of a long text. */

/**
 * @typedef {object} Mark offsets in code points
 * @property {number} start
 * @property {number} end
 * @property {string} [hue]
 * @property {string} [label] written after the marked words
 * @property {string} [title]
 */

/**
 * @param {string} text
 * @param {Mark[]} marks those that overlap an earlier one are left out
 * @param {string} label of the whole, for screen readers
 */
export function marked(text, marks, label) {
  const places = inUnits(text, marks);
  const box = el("div", { class: "marked", role: "group", "aria-label": label, tabIndex: 0 });
  const first = places[0]?.start ?? 0;
  const last = places.at(-1)?.end ?? 0;
  const from = text.length > 4 * AROUND ? wholeCharacter(text, Math.max(0, first - AROUND)) : 0;
  const to = text.length > 4 * AROUND ? wholeCharacter(text, Math.min(text.length, last + AROUND)) : text.length;
  write(box, text, places, from, to);
  if (from > 0 || to < text.length) {
    box.prepend(from > 0 ? "… " : "");
    box.append(to < text.length ? " …" : "");
    const all = el("button", { class: "button quiet small", type: "button" }, "Show the whole text");
    all.addEventListener("click", () => {
      box.replaceChildren();
      write(box, text, places, 0, text.length);
      all.remove();
      reveal(box);
    });
    return el("div", {}, box, all);
  }
  requestAnimationFrame(() => reveal(box));
  return box;
}

/** Scrolls the text, not the page, to its first mark. */
function reveal(box) {
  const mark = box.querySelector("mark");
  if (mark) box.scrollTop += mark.getBoundingClientRect().top - box.getBoundingClientRect().top - box.clientHeight / 3;
}

function inUnits(text, marks) {
  const unit = unitOffsets(text);
  const sorted = marks.toSorted((one, other) => one.start - other.start || other.end - one.end);
  const places = [];
  let end = 0;
  for (const mark of sorted) {
    if (mark.start < end || mark.end <= mark.start) continue;
    end = mark.end;
    const start = unit(mark.start);
    places.push({ ...mark, start, end: unit(mark.end) });
  }
  return places;
}

function write(box, text, places, from, to) {
  let at = from;
  for (const { start, end, hue, label, title } of places) {
    const mark = el("mark", { title }, text.slice(start, end));
    if (hue) mark.classList.add(hue);
    if (label) mark.append(el("span", { class: "label" }, label));
    box.append(text.slice(at, start), mark);
    at = end;
  }
  box.append(text.slice(at, to));
}

/** @param {string} text @param {number} unit moved to the beginning of a character */
function wholeCharacter(text, unit) {
  return /[\udc00-\udfff]/.test(text[unit] ?? "") ? unit - 1 : unit;
}
