/** A text, several, or two texts that are read together. */

import { el, field, textarea } from "../dom.js";
import { Incomplete } from "../errors.js";
import { create as createText } from "./text.js";

export function create(options) {
  const { changed } = options;
  const text = createText(options);
  const first = textarea({ on: { input: changed } });
  const second = textarea({ on: { input: changed } });
  const pair = el("div", {}, field("First text", first), field("Second text", second));
  const both = el("input", { type: "checkbox", on: { change: () => show(both.checked) } });
  const element = el("div", {}, text.element, pair, el("label", { class: "pg-check" }, both, " Two texts that are read together"));

  function show(two) {
    both.checked = two;
    text.element.hidden = two;
    pair.hidden = !two;
    changed();
  }

  show(false);
  return {
    element,
    value() {
      if (!both.checked) return text.value();
      const empty = [first, second].find((each) => !each.value.trim());
      if (empty) throw new Incomplete("Write both texts.", empty);
      return { text: first.value, text_pair: second.value };
    },
    fill(value) {
      const two = value !== null && typeof value === "object" && !Array.isArray(value);
      if (two) {
        first.value = value.text ?? "";
        second.value = value.text_pair ?? "";
      } else text.fill(value);
      show(two);
    },
  };
}
