/** Which pixels of an image belong to what: colours over it, each of which can be put out. */

import { el } from "../dom.js";
import { asBlob, fromBase64 } from "../media/blobs.js";
import { counted, percent } from "./numbers.js";
import { hue } from "./palette.js";
import { pair, stage } from "./stage.js";

const MOST_PIXELS = 12e6;
/** Of all masks together, which take four bytes each. */
const LONGEST_SIDE = 1024;

let made = 0;

/** @type {import("./index.js").Show} */
export function show(output, { input }) {
  const image = /** @type {Blob} */ (asBlob(input) ?? asBlob(input?.image));
  const picture = stage(image, "The image that was sent");
  const canvases = output.map((_, number) => el("canvas", { class: `mask ${hue(number)}`, "aria-hidden": "true" }));
  const shares = output.map(() => el("span", { class: "value" }));
  picture.layer.append(...canvases);
  picture.loaded
    .then((shown) =>
      output.map((each, number) => paint(canvases[number], shares[number], each.mask, shown, output.length)),
    )
    .catch(() => {});
  const list = el("ol", { class: "things", "aria-label": "What is where" });
  for (const [number, { label, score }] of output.entries()) {
    list.append(entry(label, score, canvases[number], shares[number], picture.layer));
  }
  const summary = output.length
    ? `${counted(output.length, "mask")}: ${[...new Set(output.map((each) => each.label))].join(", ")}`
    : "Nothing was found.";
  return pair(
    picture.element,
    el("div", {}, el("p", { class: "summary" }, summary), output.length > 0 && opacity(picture.layer), list),
  );
}

function entry(label, score, canvas, share, layer) {
  const box = el("input", { type: "checkbox", checked: true });
  box.addEventListener("change", () => (canvas.hidden = !box.checked));
  const row = el(
    "li",
    {},
    el(
      "label",
      {},
      box,
      el("span", { class: `swatch ${canvas.className.split(" ").at(-1)}` }),
      label,
      score !== null && score !== undefined && el("span", { class: "quiet", title: score }, ` ${percent(score)}`),
    ),
    share,
  );
  const pick = (on) => () => {
    canvas.classList.toggle("picked", on);
    layer.classList.toggle("picking", on);
  };
  for (const [type, on] of [
    ["pointerenter", true],
    ["pointerleave", false],
    ["focusin", true],
    ["focusout", false],
  ]) {
    row.addEventListener(/** @type {string} */ (type), pick(on));
  }
  return row;
}

/** Puts the colour where the mask is white, and says how large a part of the image that is. */
async function paint(canvas, share, mask, { naturalWidth, naturalHeight }, masks) {
  const scale = Math.min(
    1,
    LONGEST_SIDE / Math.max(naturalWidth, naturalHeight),
    Math.sqrt(MOST_PIXELS / masks / naturalWidth / naturalHeight),
  );
  canvas.width = Math.max(1, Math.round(naturalWidth * scale));
  canvas.height = Math.max(1, Math.round(naturalHeight * scale));
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const bitmap = await createImageBitmap(fromBase64(mask, "image/png"));
  context.imageSmoothingEnabled = false;
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
  const [red, green, blue] = colourOf(canvas);
  let white = 0;
  for (let place = 0; place < pixels.data.length; place += 4) {
    const inside = pixels.data[place] > 127;
    white += Number(inside);
    pixels.data.set([red, green, blue, inside ? 255 : 0], place);
  }
  context.putImageData(pixels, 0, 0);
  share.textContent = `${percent(white / (canvas.width * canvas.height))} of the image`;
}

/** The colour of the class, as numbers: whatever way the browser writes it. */
function colourOf(canvas) {
  const one = new OffscreenCanvas(1, 1).getContext("2d");
  one.fillStyle = getComputedStyle(canvas).getPropertyValue("--solid");
  one.fillRect(0, 0, 1, 1);
  return one.getImageData(0, 0, 1, 1).data;
}

function opacity(layer) {
  const range = el("input", { type: "range", min: 0, max: 100, value: 55, id: `opacity-${++made}` });
  const set = () => layer.style.setProperty("--opacity", String(range.valueAsNumber / 100));
  range.addEventListener("input", set);
  set();
  return el("div", { class: "row slider" }, el("label", { for: range.id }, "Opacity"), range);
}
