/** A text, or several. Where the model fills in masks, each has one. */

import { button, el } from "../dom.js";
import { Incomplete } from "../errors.js";
import { createRows } from "./rows.js";

export function create({ description, changed }) {
  const { input, limits } = description;
  const mask = input.masked ? input.mask_token : "";
  const rows = createRows({ name: "Text", add: "Add a text", most: limits.inputs, changed, lines: 3 });
  const element = el("div", {}, rows.element);
  if (mask) element.append(maskButton(element, rows, mask, changed));

  return {
    element,
    value() {
      const texts = rows.values();
      if (!texts.length) throw new Incomplete("Write a text first.", rows.fields()[0]);
      const without = mask && rows.fields().find((field) => field.value.trim() && !field.value.includes(mask));
      if (without) throw new Incomplete(`Put ${mask} where a word is to be filled in.`, without);
      return rows.fields().length > 1 ? texts : texts[0];
    },
    /** @param {string|string[]} value */
    fill: (value) => rows.fill(Array.isArray(value) ? value.map(String) : [String(value ?? "")]),
  };
}

/** Puts a mask where the cursor is. */
function maskButton(element, rows, mask, changed) {
  let last = null;
  element.addEventListener("focusin", ({ target }) => {
    if (target instanceof HTMLTextAreaElement) last = target;
  });
  const insert = () => {
    const field = last?.isConnected ? last : rows.fields()[0];
    field.setRangeText(mask, field.selectionStart, field.selectionEnd, "end");
    field.focus();
    changed();
  };
  const made = button(`Insert ${mask}`, insert);
  rows.element.lastElementChild.after(" ", made);
  return "";
}
