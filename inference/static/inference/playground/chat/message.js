/** One message of a chat on the page, with what can be done with it. */

import { button, el } from "../dom.js";
import { AskError } from "../errors.js";
import { failure } from "../failure.js";
import { contentOf } from "./conversation.js";
import { copyButton, sends } from "./elements.js";
import { facts, unfinished } from "./notes.js";
import { StreamedText } from "./streamed_text.js";

/** Of buttons that cannot be used while an answer comes. */
const CHANGES = { class: "button quiet small changes" };

/**
 * @typedef {object} Actions what the chat does with a message; `null` for what cannot be done with it
 * @property {(content: string) => void} edit
 * @property {(() => void) | null} again
 * @property {(() => void) | null} more go on with this answer
 */

/** @param {import("./conversation.js").Message} message @param {Actions} actions */
export function userMessage(message, actions) {
  const element = el("li", { class: "turn user" });
  const text = el("div", { class: "said" }, message.content);
  const row = el("div", { class: "row actions" }, copyButton(() => message.content));
  row.prepend(button("Edit", edit, CHANGES));
  element.append(el("h3", { class: "who" }, "You"), text, row);

  function edit() {
    const field = el("textarea", { value: message.content, ariaLabel: "Message, edited", rows: 3 });
    const send = () => field.value.trim() && !row.firstElementChild.disabled && actions.edit(field.value);
    const leave = () => {
      form.replaceWith(text);
      row.hidden = false;
      row.querySelector("button").focus();
    };
    field.addEventListener("keydown", (event) => {
      if (event.key === "Escape") leave();
      else if (sends(event)) send();
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    const hint = el("p", { class: "hint quiet" }, "The messages after this one are replaced by a new answer.");
    const form = el("div", { class: "edited" }, field, hint, el("div", { class: "row" }, button("Send again", send, CHANGES), button("Cancel", leave)));
    row.hidden = true;
    text.replaceWith(form);
    field.focus();
  }
  return element;
}

export class AnswerMessage {
  /**
   * @param {import("./conversation.js").Message} message
   * @param {{coloured: boolean, drawn: () => void}} options
   */
  constructor(message, { coloured, drawn }) {
    this.message = message;
    this.text = new StreamedText({ pieces: message.pieces, drawn });
    this.text.coloured = coloured;
    this.state = el("p", { class: "waiting quiet", hidden: true });
    this.below = el("div", { class: "below" });
    this.element = el("li", { class: "turn assistant" }, el("h3", { class: "who" }, "Model"), this.text.element, this.state, this.below);
  }

  /** @param {string} sentence while there is nothing to read */
  waiting(sentence) {
    this.state.hidden = false;
    this.state.textContent = sentence;
    this.element.ariaBusy = "true";
  }

  /** @param {object} token a frame */
  add(token) {
    this.state.hidden = true;
    this.text.add(token);
  }

  /** @param {Actions} actions */
  ended(actions) {
    const { message } = this;
    const { error, pieces } = message;
    this.state.hidden = true;
    this.element.ariaBusy = "false";
    this.text.end();
    this.text.element.hidden = !pieces.length;
    const row = el("div", { class: "row actions" });
    if (pieces.length) row.append(copyButton(() => contentOf(message)));
    if (actions.again && !error?.passes) row.append(button(error ? "Try again" : "Regenerate", actions.again));
    if (actions.more && pieces.length && message.ended !== "stop") row.append(button("Continue", actions.more));
    row.append(el("span", { class: "figures quiet" }, facts(message.generation)));
    this.below.replaceChildren(...(error ? [inPlace(error, actions)] : noted(message)), row);
  }
}

function noted({ ended, pieces }) {
  const why = unfinished(ended);
  if (!why) return [];
  return [el("p", { class: "note" }, pieces.length ? why : `${why} There is no text yet.`)];
}

function inPlace(error, { again }) {
  const shown = failure(error, again);
  shown.role = "alert";
  if (error.code === "validation") shown.append(el("p", {}, "Edit a message, or clear the conversation."));
  return shown;
}
