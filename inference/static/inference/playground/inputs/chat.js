/** Chats, where the model has a chat template; otherwise a prompt that it continues. */

import { Chat } from "../chat/chat.js";
import { el, field, textarea } from "../dom.js";
import { Incomplete } from "../errors.js";

/**
 * @param {{description: any, changed: () => void, submit: () => void, stop: () => void}} options
 * @returns {import("./index.js").Form}
 */
export function create(options) {
  return options.description.chat ? conversation(options) : prompt(options);
}

function conversation({ description, ...options }) {
  const chat = new Chat({ key: `inference.chat ${description.root}/${description.pipeline}`, ...options });
  return {
    element: chat.element,
    value() {
      const input = chat.input();
      if (!input.length) throw new Incomplete("Write a message.", chat.field);
      return input;
    },
    fill(value) {
      if (typeof value === "string") chat.fill([{ role: "user", content: value }]);
      else if (Array.isArray(value) && value.length) chat.fill(value);
    },
    view: () => chat.view(),
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
