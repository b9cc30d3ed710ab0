/** A question about an image. */

import { el, field } from "../dom.js";
import { Incomplete } from "../errors.js";
import { picker } from "../media/picker.js";

export function create({ description, changed }) {
  const { kind } = description.input;
  const media = picker({ kind, most: 1, bytes: description.limits.media_bytes, changed });
  const question = el("input", { type: "text", autocomplete: "off", on: { input: changed } });
  return {
    element: el("div", {}, media.element, field("Question", question)),
    value() {
      const [file] = media.needed();
      if (!question.value.trim()) throw new Incomplete("Write a question.", question);
      return { [kind]: file, question: question.value };
    },
    fill(value) {
      question.value = value.question ?? "";
      media.fill(value[kind] ? [value[kind]] : []);
    },
  };
}
