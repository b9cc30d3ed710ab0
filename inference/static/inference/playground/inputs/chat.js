/** Chats, where the model has a chat template; otherwise a prompt that it continues. */

import { Chat } from "../chat/chat.js";
import { el, field, textarea } from "../dom.js";
import { Incomplete } from "../errors.js";

/**
 * @param {{description: object, changed: () => void, run?: Function}} options `run` asks with the page's parameters,
 *     and tells a view of the form's own what becomes of it
 * @returns {{element: HTMLElement, value(): unknown, fill(value: unknown): void, send?: () => void, stop?: () => void}}
 *     a form with `send` sends by itself, and shows its answers itself
 */
export function create(options) {
  return options.description.chat ? conversation(options) : prompt(options);
}

function conversation({ description, changed, run }) {
  const key = `inference.chat ${description.root}/${description.pipeline}`;
  const chat = new Chat({ key, changed, run });
  return {
    element: chat.element,
    send: () => chat.send(),
    stop: () => chat.stop(),
    value() {
      const { input } = chat;
      if (!input.some(({ role }) => role === "user")) throw new Incomplete("Write a message.", chat.field);
      return input;
    },
    fill(value) {
      if (typeof value === "string") chat.fill([{ role: "user", content: value }]);
      else if (Array.isArray(value)) chat.fill(value);
    },
  };
}

function prompt({ changed }) {
  const text = textarea({ rows: 5, on: { input: () => changed() } });
  return {
    element: el("div", {}, field("Prompt", text, { hint: "The model continues this text." })),
    value() {
      if (!text.value.trim()) throw new Incomplete("Write a text for the model to continue.", text);
      return text.value;
    },
    fill(value) {
      text.value = typeof value === "string" ? value : JSON.stringify(value);
    },
  };
}
