/** Things in an image: boxes over it, and a list of which one can be picked out. */

import { el } from "../dom.js";
import { asBlob } from "../media/blobs.js";
import { counted, percent } from "./numbers.js";
import { palette } from "./palette.js";
import { pair, stage } from "./stage.js";

let made = 0;

/** @type {import("./index.js").Show} */
export function show(output, { input }) {
  const image = /** @type {Blob} */ (asBlob(input) ?? asBlob(input?.image));
  const picture = stage(image, "The image that was sent");
  const hueOf = palette();
  const things = output.map((thing) => ({ ...thing, hue: hueOf(thing.label) }));
  const boxes = things.map(box);
  const entries = things.map((thing, number) => entry(thing, boxes[number], picture.layer));
  picture.loaded.then(
    ({ naturalWidth: width, naturalHeight: height }) => {
      for (const [number, { box: place }] of things.entries()) put(boxes[number], place, width, height);
      picture.layer.append(...boxes);
    },
    () => {},
  );
  const counts = Object.entries(Object.groupBy(output, (thing) => thing.label));
  const summary = el(
    "p",
    { class: "summary" },
    output.length ? counts.map(([label, each]) => `${each.length} × ${label}`).join(", ") : "Nothing was found.",
  );
  const list = el("ol", { class: "things", "aria-label": "What was found" }, ...entries);
  return pair(
    picture.element,
    el("div", {}, summary, spread(things) > 0.01 && threshold(things, boxes, entries), list),
  );
}

function box({ label, score, hue }) {
  return el("div", { class: `box ${hue}`, "aria-hidden": "true" }, el("span", {}, `${label} ${percent(score)}`));
}

/** Boxes may reach beyond the image. */
function put(made, { xmin, ymin, xmax, ymax }, width, height) {
  const inside = (value, side) => Math.min(side, Math.max(0, value));
  const [left, top, right, bottom] = [
    inside(xmin, width),
    inside(ymin, height),
    inside(xmax, width),
    inside(ymax, height),
  ];
  const place = {
    "--left": left / width,
    "--top": top / height,
    "--wide": (right - left) / width,
    "--high": (bottom - top) / height,
  };
  for (const [name, part] of Object.entries(place)) made.style.setProperty(name, (100 * part).toFixed(3));
  made.classList.toggle("low", top / height < 0.08);
  made.classList.toggle("left", left / width > 0.6);
}

function entry({ label, score, hue }, own, layer) {
  const button = el(
    "button",
    { type: "button", "aria-pressed": "false" },
    el("span", { class: `swatch ${hue}` }),
    label,
  );
  const pick = (on) => {
    own.classList.toggle("picked", on);
    layer.classList.toggle("picking", layer.querySelector(".picked") !== null);
  };
  const pressed = () => button.getAttribute("aria-pressed") === "true";
  button.addEventListener("click", () => {
    button.setAttribute("aria-pressed", String(!pressed()));
    pick(pressed());
  });
  for (const type of ["pointerenter", "focus"]) button.addEventListener(type, () => pick(true));
  for (const type of ["pointerleave", "blur"]) button.addEventListener(type, () => pick(pressed()));
  return el("li", {}, button, el("span", { class: "value", title: score }, percent(score)));
}

/** Between the best score and the worst. */
function spread(things) {
  const scores = things.map((thing) => thing.score);
  return Math.max(...scores) - Math.min(...scores);
}

/** Hides what has a lower score. */
function threshold(things, boxes, entries) {
  const lowest = Math.floor(100 * Math.min(...things.map((thing) => thing.score)));
  const range = el("input", { type: "range", min: lowest, max: 99, value: lowest, id: `threshold-${++made}` });
  const said = el("output", { for: range.id }, `${lowest} %, ${counted(things.length, "thing")}`);
  range.addEventListener("input", () => {
    let shown = 0;
    for (const [number, { score }] of things.entries()) {
      boxes[number].hidden = entries[number].hidden = score < range.valueAsNumber / 100;
      shown += Number(!boxes[number].hidden);
    }
    said.textContent = `${range.value} %, ${counted(shown, "thing")}`;
  });
  return el("div", { class: "row slider" }, el("label", { for: range.id }, "Score from"), range, said);
}
