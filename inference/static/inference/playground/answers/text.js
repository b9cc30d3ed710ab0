/** Texts that a model wrote. */

import { el } from "../dom.js";
import { counted } from "./numbers.js";
import { codePoints } from "./codepoints.js";
import { beside } from "./stage.js";

/** @type {import("./index.js").Show} */
export function show(output, { input }) {
  const written = texts(output);
  return beside(input, el("div", {}, ...written.map((text) => block(text, input))));
}

/** Of a text, an object with a field `…_text`, or a list of such; of a chat, its last message. */
function texts(output) {
  if (typeof output === "string") return [output];
  return [output].flat(2).map((each) => {
    const text = Object.entries(each).find(([name]) => name.endsWith("_text"))?.[1];
    return Array.isArray(text) ? text.at(-1).content : text;
  });
}

function block(text, input) {
  const begins = typeof input === "string" && input && text.startsWith(input);
  const content = begins ? [el("span", { class: "quiet" }, input), text.slice(input.length)] : [text];
  const copy = el("button", { class: "button quiet small", type: "button" }, "Copy");
  copy.addEventListener("click", async () => {
    const done = await navigator.clipboard?.writeText(text).then(
      () => true,
      () => false,
    );
    if (!done) getSelection()?.selectAllChildren(body);
    copy.textContent = done ? "Copied" : "Press Ctrl+C";
    setTimeout(() => (copy.textContent = "Copy"), 2000);
  });
  const body = el("p", { class: "summary written" }, ...content);
  return el(
    "div",
    {},
    body,
    el("div", { class: "row" }, copy, el("span", { class: "quiet" }, counted(codePoints(text), "character"))),
  );
}
