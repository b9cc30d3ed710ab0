/** The words of a page in their places, which are thousandths of its sides. */

import { el } from "../dom.js";
import { stage } from "./stage.js";

/**
 * @param {Blob | null} image without it, the words are written on an empty page
 * @param {[string, number[]][]} words
 * @param {{start: number, end: number, answer?: string}} [answer] numbers of words
 */
export function wordsOnPage(image, words, answer) {
  const page = image ? stage(image, "The page") : blank(words);
  for (const [number, [word, [left, top, right, bottom]]] of words.entries()) {
    const found = answer && number >= answer.start && number <= answer.end;
    if (image && !found) continue;
    const style = {
      "--left": left / 10,
      "--top": top / 10,
      "--wide": (right - left) / 10,
      "--high": (bottom - top) / 10,
    };
    page.layer.append(el("div", { class: found ? "box hue-0 found" : "word", style, title: word }, image ? "" : word));
  }
  return page.element;
}

function blank(words) {
  const layer = el("div", { class: "layer" });
  const text = words.map(([word]) => word).join(" ");
  return {
    element: el(
      "div",
      {
        class: "stage blank",
        role: "img",
        "aria-label": `A page with the words: ${text}`,
        style: { "--width": 500, "--height": 500 },
      },
      layer,
    ),
    layer,
  };
}
