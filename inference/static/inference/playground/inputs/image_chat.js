/** A chat with images: messages, each with a text and perhaps images. */

import { button, el, field, newId, textarea } from "../dom.js";
import { Incomplete } from "../errors.js";
import { picker } from "../media/picker.js";

const MOST_IMAGES = 8;
const ROLES = { system: "System", user: "User", assistant: "Assistant" };

export function create({ description, changed }) {
  const list = el("ol", { class: "messages", "aria-label": "Messages" });
  /** @type {ReturnType<typeof message>[]} */
  let messages = [];

  const add = (role, content) => {
    const made = message(role, content, description.limits.media_bytes, changed, () => remove(made));
    messages.push(made);
    list.append(made.element);
    return made;
  };
  const remove = (made) => {
    messages = messages.filter((each) => each !== made);
    made.element.remove();
    if (!messages.length) add("user", "");
    changed();
  };
  const more = button("Add a message", () => {
    const last = messages.at(-1)?.role();
    add(last === "user" ? "assistant" : "user", "").focus();
    changed();
  });
  add("user", "");
  return {
    element: el("div", {}, list, more),
    value() {
      const value = messages.map((each) => each.value()).filter((each) => each.content.length);
      if (!value.length) throw new Incomplete("Write a text, or choose an image.", messages[0].control);
      return value;
    },
    fill(value) {
      messages = [];
      list.replaceChildren();
      for (const { role, content } of value) add(role, content);
    },
  };
}

function message(role, content, bytes, changed, remove) {
  const parts = typeof content === "string" ? [{ type: "text", text: content }] : content;
  const who = el(
    "select",
    { on: { change: changed }, "aria-label": "Role" },
    ...Object.entries(ROLES).map(([value, name]) => el("option", { value }, name)),
  );
  who.value = role;
  const images = picker({ kind: "image", most: MOST_IMAGES, bytes, changed, label: "Images", adds: true });
  images.fill(parts.filter((part) => part.type !== "text").map((part) => part.image ?? part.image_url.url));
  const text = textarea({ on: { input: changed } });
  text.value = parts
    .filter((part) => part.type === "text")
    .map((part) => part.text)
    .join("\n");
  const show = () => (images.element.hidden = who.value !== "user");
  who.addEventListener("change", show);
  show();
  const name = newId("message");
  who.id = name;
  return {
    element: el(
      "li",
      {},
      el("div", { class: "row" }, who, button("Remove message", remove)),
      images.element,
      field("Text", text),
    ),
    control: text,
    role: () => who.value,
    focus: () => text.focus(),
    /** Images come before the text, as the chat templates of most models have them. */
    value() {
      const files = who.value === "user" ? images.files() : [];
      const written = text.value.trim() ? [{ type: "text", text: text.value }] : [];
      return { role: who.value, content: [...files.map((image) => ({ type: "image", image })), ...written] };
    },
  };
}
