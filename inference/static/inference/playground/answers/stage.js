/** An image with things over it. */

import { el } from "../dom.js";
import { asBlob, objectUrl } from "../media/blobs.js";

/**
 * @typedef {object} Stage
 * @property {HTMLElement} element
 * @property {HTMLElement} layer as large as the image, over it
 * @property {Promise<HTMLImageElement>} loaded
 */

/** @param {Blob} blob @param {string} alt @returns {Stage} */
export function stage(blob, alt) {
  const image = el("img", { src: objectUrl(blob), alt });
  const layer = el("div", { class: "layer" });
  const made = el("div", { class: "stage" }, image, layer);
  const loaded = image.decode().then(() => {
    made.style.setProperty("--width", String(image.naturalWidth));
    made.style.setProperty("--height", String(image.naturalHeight));
    made.classList.toggle("coarse", image.naturalWidth < 128);
    return image;
  });
  loaded.catch(() => made.replaceWith(el("p", { class: "notice" }, "The browser cannot show this image.")));
  return { element: made, layer, loaded };
}

/** What was found, beside the image that was asked about, if it was one. @param {any} input @param {HTMLElement} found */
export function beside(input, found) {
  const blob = asBlob(input) ?? asBlob(input?.image) ?? imageOfChat(input);
  if (!blob) return found;
  if (!blob.type.startsWith("image/")) {
    return el("div", {}, el("audio", { controls: true, src: objectUrl(blob) }), found);
  }
  return pair(stage(blob, "The image that was sent").element, found);
}

/** @param {HTMLElement} picture @param {HTMLElement} found */
export const pair = (picture, found) => el("div", { class: "beside" }, el("div", { class: "pair" }, picture, found));

/** The last image of a chat. */
function imageOfChat(input) {
  if (!Array.isArray(input)) return null;
  const parts = input.flatMap((message) => (Array.isArray(message?.content) ? message.content : []));
  return asBlob(parts.findLast((part) => part.type === "image")?.image);
}
