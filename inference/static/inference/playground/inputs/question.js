/** A question, and the text that has its answer. */

import { el, field, textarea } from "../dom.js";
import { Incomplete } from "../errors.js";

export function create({ changed }) {
  const question = el("input", { type: "text", on: { input: changed } });
  const context = textarea({ rows: 6, on: { input: changed } });
  return {
    element: el("div", {}, field("Question", question), field("Text with the answer", context)),
    value() {
      if (!question.value.trim()) throw new Incomplete("Write a question.", question);
      if (!context.value.trim()) throw new Incomplete("Write the text that has the answer.", context);
      return { question: question.value, context: context.value };
    },
    fill(value) {
      question.value = value?.question ?? "";
      context.value = value?.context ?? "";
      changed();
    },
  };
}
