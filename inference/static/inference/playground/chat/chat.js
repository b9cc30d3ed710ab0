/** A conversation with a model: its messages, the field for the next one, and what becomes of answers. */

import { button, el } from "../dom.js";
import { Conversation } from "./conversation.js";
import { keys, sends } from "./elements.js";
import { AnswerMessage, userMessage } from "./message.js";
import { colourSwitch } from "./probabilities.js";

const NEAR_THE_END_PX = 40;

export class Chat {
  /** @type {AnswerMessage[]} */
  #answers = [];
  /** @type {{answer: import("./conversation.js").Message, before: number} | null} */
  #running = null;
  /** @type {import("./conversation.js").Message[] | null} messages that are being sent */
  #next = null;
  #coloured = false;
  #follows = true;
  #filled = false;

  /**
   * @param {{key: string, changed: () => void, submit: () => void, stop: () => void}} options `key`: of what is kept
   *     of it in this tab; `submit` asks for `input()`, and shows the answer by `view()`; both at once, or not at all
   */
  constructor({ key, changed, submit, stop }) {
    this.conversation = new Conversation(key);
    this.changed = changed;
    this.submit = submit;
    this.stop = stop;
    this.#build();
    this.#render();
    addEventListener("pagehide", () => this.#save());
  }

  /** What is sent: the conversation with the next message, or with an answer to go on with. Empty for none. */
  input() {
    const next = this.#planned;
    return next ? this.conversation.input(next) : [];
  }

  /** @returns {import("../inputs/index.js").View} of the answer to `input()` */
  view() {
    const next = this.#planned;
    if (!this.#next) this.field.value = "";
    this.#next = null;
    return this.#begin(next);
  }

  /**
   * Show a chat as the server takes it; its last message, if it is the user's, is still to be sent.
   * What is kept of a conversation goes before an example, and before its own beginning in a link.
   */
  fill(chat) {
    const first = !this.#filled;
    this.#filled = true;
    const { messages } = this.conversation;
    if (first && messages.length && (chat.length === 1 || this.conversation.continues(chat))) return;
    const draft = chat.at(-1).role === "user" ? chat.at(-1).content : "";
    this.field.value = draft;
    if (chat.length === 1 && draft) return;
    this.#drop();
    this.conversation.take(draft ? chat.slice(0, -1) : chat);
    this.system.value = this.conversation.system;
    this.systemPart.open = Boolean(this.system.value);
    this.#save();
    this.#render();
  }

  #send() {
    if (this.#running || !this.#draft) this.field.focus();
    else this.submit();
  }

  get #draft() {
    return this.field.value.trim() ? this.field.value : "";
  }

  get #planned() {
    if (this.#next) return this.#next;
    return this.#draft ? [...this.conversation.messages, { role: "user", content: this.#draft }] : null;
  }

  #build() {
    this.system = el("textarea", { rows: 3, id: "chat-system", value: this.conversation.system });
    this.system.addEventListener("input", () => {
      this.conversation.system = this.system.value;
      this.#save();
    });
    this.systemPart = el(
      "details",
      { class: "system", open: Boolean(this.system.value) },
      el("summary", {}, "System prompt"),
      el("label", { class: "visually-hidden", for: "chat-system" }, "System prompt"),
      this.system,
      el("p", { class: "hint quiet" }, "It comes before the first message; empty: that of the model, if it has one."),
    );
    this.list = el("ol", { class: "turns" });
    this.empty = el("p", { class: "quiet empty" }, "No message yet. The conversation stays in this tab only.");
    this.log = el("div", { class: "log", tabIndex: 0, role: "region", ariaLabel: "Conversation" }, this.empty, this.list);
    this.log.addEventListener("scroll", () => this.#scrolled());
    this.down = button("To the end", () => this.#toTheEnd(), { hidden: true });
    this.down.classList.add("down");
    this.spoken = el("p", { class: "visually-hidden", role: "status" });
    this.element = el(
      "section",
      { class: "chat", ariaLabel: "Chat" },
      this.systemPart,
      el("div", { class: "log-part" }, this.log, this.down),
      this.spoken,
      this.#composer(),
      this.#tools(),
    );
    this.element.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.#running) this.stop();
    });
  }

  #composer() {
    this.field = el("textarea", { rows: 2, id: "chat-message", placeholder: "Ask the model" });
    this.field.addEventListener("input", () => this.changed());
    this.field.addEventListener("keydown", (event) => {
      if (!sends(event)) return;
      event.preventDefault();
      event.stopPropagation();
      this.#send();
    });
    this.main = el("button", { class: "button send", type: "button" });
    this.main.addEventListener("click", () => (this.#running ? this.stop() : this.#send()));
    return el(
      "div",
      { class: "composer" },
      el("label", { for: "chat-message" }, "Message"),
      el("div", { class: "composer-row" }, this.field, this.main),
      el("p", { class: "hint quiet" }, keys()),
    );
  }

  #tools() {
    this.clearing = button("Clear the conversation", () => this.#clear());
    const colours = colourSwitch((on) => {
      this.#coloured = on;
      for (const answer of this.#answers) answer.text.coloured = on;
    });
    return el("div", { class: "tools" }, colours, this.clearing);
  }

  /** Send these messages. The last one, if it is an answer, goes on. */
  #ask(messages) {
    this.#next = messages;
    this.submit();
    this.#next = null; // where a parameter is wrong, nothing was sent
    this.main.focus();
  }

  #begin(messages) {
    if (this.#running) this.#running.answer.ended = "cancelled";
    if (messages.at(-1).role !== "assistant") messages.push({ role: "assistant", pieces: [] });
    this.conversation.messages = messages;
    const answer = Object.assign(messages.at(-1), { ended: "", error: null, generation: null });
    const running = { answer, before: answer.pieces.length };
    this.#running = running;
    this.#follows = true;
    this.#render();
    const shown = this.#answers.at(-1);
    shown.waiting("Sending");
    const over = (ended, more) => {
      if (this.#running !== running) return; // it was cleared, or another one was sent
      Object.assign(answer, { ended, ...more });
      this.#over(running, shown);
    };
    return {
      started: () => shown.waiting("Reading the conversation"),
      waiting: (sentence) => shown.waiting(sentence),
      token: (frame) => shown.add(frame),
      done: ({ output, generation }) => {
        if (!generation) shown.add({ text: textOf(output) }); // it did not stream
        over(generation?.finish_reason ?? "stop", { generation });
      },
      failed: (error) => (error.code === "cancelled" ? over("cancelled") : over("failed", { error })),
    };
  }

  #over({ answer, before }, shown) {
    const focused = this.element.contains(document.activeElement);
    this.#running = null;
    this.#save();
    shown.ended(this.#actions(answer));
    this.#settle();
    if (focused && document.activeElement === document.body) this.field.focus();
    const text = answer.pieces.slice(before).map(([piece]) => piece).join("");
    this.spoken.textContent = answer.error ? "" : text || "Stopped.";
  }

  /** Without the answer that is on its way. */
  #drop() {
    const running = this.#running;
    this.#running = null;
    if (running) this.stop();
  }

  /** @returns {import("./message.js").Actions} */
  #actions(message) {
    const { messages } = this.conversation;
    const number = messages.indexOf(message);
    const last = number === messages.length - 1;
    return {
      edit: (content) => this.#ask([...messages.slice(0, number), { role: "user", content }]),
      again: last && number > 0 ? () => this.#ask(messages.slice(0, number)) : null,
      more: last ? () => this.#ask([...messages]) : null,
    };
  }

  #clear() {
    this.#drop();
    this.conversation.messages = [];
    this.#save();
    this.#render();
    this.spoken.textContent = "The conversation is empty.";
    this.field.focus();
  }

  #render() {
    this.#answers = [];
    const items = this.conversation.messages.map((message) => {
      if (message.role === "user") return userMessage(message, this.#actions(message));
      const shown = new AnswerMessage(message, { coloured: this.#coloured, drawn: () => this.#follow() });
      if (!this.#running || message !== this.conversation.messages.at(-1)) shown.ended(this.#actions(message));
      this.#answers.push(shown);
      return shown.element;
    });
    this.list.replaceChildren(...items);
    this.#settle();
  }

  #settle() {
    this.empty.hidden = this.conversation.messages.length > 0;
    this.clearing.disabled = !this.conversation.messages.length;
    this.main.textContent = this.#running ? "Stop" : "Send";
    this.element.classList.toggle("running", Boolean(this.#running));
    for (const changing of this.list.querySelectorAll("button.changes")) changing.disabled = Boolean(this.#running);
    this.#follow();
    this.changed();
  }

  #save() {
    this.conversation.save();
  }

  #scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.log;
    this.#follows = scrollHeight - scrollTop - clientHeight < NEAR_THE_END_PX;
    this.down.hidden = this.#follows;
  }

  /** Scroll along, unless the reader has scrolled up. */
  #follow() {
    if (this.#follows) this.log.scrollTop = this.log.scrollHeight;
  }

  #toTheEnd() {
    this.#follows = true;
    this.#follow();
    this.log.focus({ preventScroll: true });
  }
}

/** Of an answer that did not stream. */
function textOf(output) {
  const { generated_text: text } = [output].flat()[0];
  return typeof text === "string" ? text : text.at(-1).content;
}
