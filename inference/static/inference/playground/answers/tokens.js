/** A text that streams in the place of an answer: a continuation, a summary, a translation, a transcript. */

import { facts, unfinished } from "../chat/notes.js";
import { colourSwitch } from "../chat/probabilities.js";
import { StreamedText } from "../chat/streamed_text.js";
import { button, el } from "../dom.js";

/**
 * @param {{description: object, inputs: unknown, more?: (text: string) => void}} options `more` goes on with the text,
 *     of a task whose texts continue their prompts
 * @returns {import("../inputs/index.js").View}
 */
export function create({ description, inputs, more }) {
  const continues = description.input.form === "chat";
  const before = continues && typeof inputs === "string" ? inputs : "";
  const text = new StreamedText({ before });
  const below = el("div", { class: "below" });
  const spoken = el("p", { class: "visually-hidden", role: "status" });
  const element = el("div", { class: "streamed", ariaBusy: "true" }, text.element, below, spoken);

  function writtenIn(output) {
    const whole = [output].flat()[0]?.[description.text_field] ?? "";
    return whole.startsWith(before) ? whole.slice(before.length) : whole;
  }

  function over(reason, generation) {
    element.ariaBusy = "false";
    text.end();
    const why = unfinished(reason);
    const parts = why ? [el("p", { class: "note" }, why)] : [];
    const row = el("div", { class: "row actions" });
    if (why && continues && more && reason !== "failed") {
      row.append(button("Continue", () => more(before + text.text)));
    }
    row.append(el("span", { class: "figures quiet" }, facts(generation)));
    parts.push(row);
    if (text.known) parts.push(colourSwitch((on) => (text.coloured = on)));
    below.replaceChildren(...parts);
    spoken.textContent = text.text;
  }

  return {
    element,
    passing: description.output !== "text",
    token: (frame) => text.add(frame),
    done({ output, generation }) {
      if (!generation) text.add({ text: writtenIn(output) }); // it did not stream
      over(generation?.finish_reason ?? "stop", generation);
    },
    failed: () => over("failed", null),
  };
}
