/** How far away each pixel is: the image, and its depth in grey. */

import { el } from "../dom.js";
import { asBlob, fromBase64 } from "../media/blobs.js";
import { short } from "./numbers.js";
import { stage } from "./stage.js";

/** @type {import("./index.js").Show} */
export function show(output, { input }) {
  const image = asBlob(input) ?? asBlob(input?.image);
  const { depth, min_depth: least, max_depth: most } = output;
  const known = Number.isFinite(least) && Number.isFinite(most);
  const grey = stage(fromBase64(depth, "image/png"), "The depth of the image in grey");
  const scale = known
    ? `Black is ${short(least)}, white is ${short(most)}, in units of the model.`
    : "In grey, from one end of the model's scale to the other.";
  const here = el("p", { class: "quiet" }, known ? "Point at the image to read its depth." : "");
  if (known)
    grey.loaded.then(
      (shown) => read(grey.element, shown, here, least, most),
      () => {},
    );
  const pictures = image ? [stage(image, "The image that was sent").element, grey.element] : [grey.element];
  return el(
    "div",
    { class: "beside" },
    el("p", { class: "summary" }, scale),
    el("div", { class: "pair alike" }, ...pictures),
    here,
  );
}

function read(element, image, here, least, most) {
  const scale = Math.min(1, 512 / Math.max(image.naturalWidth, image.naturalHeight));
  const canvas = new OffscreenCanvas(Math.ceil(image.naturalWidth * scale), Math.ceil(image.naturalHeight * scale));
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  element.addEventListener("pointermove", (event) => {
    const box = element.getBoundingClientRect();
    const x = Math.floor(((event.clientX - box.left) / box.width) * canvas.width);
    const y = Math.floor(((event.clientY - box.top) / box.height) * canvas.height);
    const [value] = context.getImageData(Math.max(0, x), Math.max(0, y), 1, 1).data;
    here.textContent = `Here: ${short(least + (value / 255) * (most - least))}`;
  });
}
