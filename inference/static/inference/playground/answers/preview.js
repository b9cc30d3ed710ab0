/** An input beside its answer: enough of it to know which one it was. */

import { el } from "../dom.js";
import { asBlob, objectUrl } from "../media/blobs.js";

const LONGEST = 240;

/**
 * @param {any} input
 * @param {boolean} [pictured] the answer shows the image or recording; its name is enough
 * @returns {HTMLElement}
 */
export function preview(input, pictured = false) {
  const blob = asBlob(input) ?? asBlob(input?.image);
  if (blob?.type.startsWith("image/") && !pictured) {
    const name = blob instanceof File ? blob.name : "The image";
    return el("figure", {}, el("img", { src: objectUrl(blob), alt: name }), caption(input?.question));
  }
  if (blob)
    return el("p", {}, blob instanceof File ? blob.name : "A file", input.question ? `: ${input.question}` : "");
  return el("p", {}, shortened(words(input)) || "(empty)");
}

const caption = (text) => text && el("figcaption", {}, text);

/** @param {any} input the text of it, or its texts */
export function words(input) {
  if (typeof input === "string") return input;
  if (Array.isArray(input)) return input.map((message) => words(message.content ?? message)).join("\n");
  return (
    Object.values(input ?? {})
      .filter((value) => typeof value === "string")
      .join(" · ") || JSON.stringify(input)
  );
}

/** @param {string} text */
export function shortened(text, longest = LONGEST) {
  const points = text.length > longest ? [...text.slice(0, 2 * longest)] : [];
  return points.length > longest ? `${points.slice(0, longest).join("")}…` : text;
}
