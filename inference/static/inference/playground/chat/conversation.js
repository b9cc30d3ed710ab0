/** The messages of a chat, kept for this tab, so that a reload does not lose them. */

import { AskError } from "../errors.js";

/**
 * @typedef {import("./streamed_text.js").Piece} Piece
 * @typedef {object} Message
 * @property {"user" | "assistant"} role
 * @property {string} [content] of a user
 * @property {Piece[]} [pieces] of the model
 * @property {string} [ended] `stop`, or why there may be more: `length`, `cancelled`, `left`, `failed`
 * @property {object | null} [generation] its figures
 * @property {AskError | null} [error]
 */

export class Conversation {
  system = "";
  /** @type {Message[]} */
  messages = [];

  /** @param {string} key of what is kept */
  constructor(key) {
    this.key = key;
    try {
      const { system, messages } = JSON.parse(sessionStorage.getItem(key)) ?? {};
      this.system = system ?? "";
      this.messages = messages ?? [];
    } catch {
      sessionStorage.removeItem(key); // of another version of this page
    }
    for (const message of this.messages) {
      if (message.role !== "assistant") continue;
      message.ended ||= "left";
      if (message.error) message.error = new AskError(message.error.code, message.error.sentence, message.error.retry_after);
    }
  }

  /** Without probabilities where there is no room for them. */
  save() {
    const all = this.messages.map(storable);
    for (const messages of [all, all.map(plain)]) {
      try {
        sessionStorage.setItem(this.key, JSON.stringify({ system: this.system, messages }));
        return;
      } catch {
        // the storage is full
      }
    }
  }

  /** These messages as the server takes them; those after each other of one role are one. */
  input(messages = this.messages) {
    const sent = this.system.trim() ? [{ role: "system", content: this.system }] : [];
    for (const message of messages) {
      const content = contentOf(message);
      if (!content) continue; // an answer that failed
      const last = sent.at(-1);
      if (last?.role === message.role) last.content += `\n\n${content}`;
      else sent.push({ role: message.role, content });
    }
    return sent;
  }

  /** Whether it is this chat, perhaps gone on. @param {{role: string, content: string}[]} chat */
  continues(chat) {
    const mine = this.input();
    return chat.every(({ role, content }, number) => mine[number]?.role === role && mine[number].content === content);
  }

  /** Replace it by a chat as the server takes it. */
  take(chat) {
    this.system = chat.filter(({ role }) => role === "system").map(({ content }) => content).join("\n\n");
    this.messages = chat
      .filter(({ role }) => role !== "system")
      .map(({ role, content }) =>
        role === "assistant" ? { role, pieces: [[content, null]], ended: "stop" } : { role: "user", content },
      );
  }
}

/** @param {Message} message */
export function contentOf(message) {
  return message.content ?? message.pieces.map(([text]) => text).join("");
}

/** JSON has no messages of errors. */
function storable(message) {
  const { error } = message;
  return error ? { ...message, error: { code: error.code, sentence: error.message, retry_after: error.retry_after } } : message;
}

function plain(message) {
  return message.pieces ? { ...message, pieces: [[contentOf(message), null]] } : message;
}
