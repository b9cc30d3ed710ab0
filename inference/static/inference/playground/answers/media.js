/** Recordings and images that a model made. */

import { el } from "../dom.js";
import { fromBase64, objectUrl, size } from "../media/blobs.js";

const ENDINGS = {
  "audio/wav": "wav",
  "audio/flac": "flac",
  "audio/mpeg": "mp3",
  "image/png": "png",
  "image/jpeg": "jpg",
};

/** @type {import("./index.js").Show} */
export function show(output, { description }) {
  const blob =
    output.blob instanceof Blob ? output.blob : fromBase64(output.blob, output["content-type"] ?? output.type);
  const type = (blob.type || output.type || "").split(";")[0];
  const url = objectUrl(blob);
  const media = type.startsWith("image/")
    ? el("img", { src: url, alt: "The image that the model made" })
    : el("audio", { controls: true, src: url });
  const file = `${description.pipeline ?? "answer"}.${ENDINGS[type] ?? "bin"}`;
  const link = el("a", { class: "button quiet small", href: url, download: file }, "Download");
  const said = el("span", { class: "quiet" }, `${type}, ${size(blob.size)}`);
  media.addEventListener("loadedmetadata", () => {
    if (Number.isFinite(media.duration))
      said.textContent = `${media.duration.toFixed(1)} s, ${type}, ${size(blob.size)}`;
  });
  return el(
    "div",
    { class: "media" },
    el("p", { class: "visually-hidden summary" }, `A file of type ${type}`),
    media,
    el("div", { class: "row" }, link, said),
  );
}
