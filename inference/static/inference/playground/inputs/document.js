/** A question about a page: its words with their places, and perhaps an image of it. */

import { wordsOnPage } from "../answers/page.js";
import { el, field, textarea } from "../dom.js";
import { Incomplete } from "../errors.js";
import { picker } from "../media/picker.js";
import { readWords } from "./words.js";

const HINT =
  'JSON such as [["Total", [0, 0, 100, 50]]]: left, top, right and bottom, from 0 to 1000. Or the table that tesseract writes (tesseract page.png - tsv).';

export function create({ description, changed }) {
  const media = picker({
    kind: "image",
    most: 1,
    bytes: description.limits.media_bytes,
    changed: again,
    label: "Image of the page (optional; only shown)",
  });
  const question = el("input", { type: "text", autocomplete: "off", on: { input: changed } });
  const words = textarea({ rows: 5, on: { input: again } });
  const page = el("div", { class: "page" });

  function again() {
    changed();
    try {
      const read = readWords(words.value);
      page.replaceChildren(...(read.length ? [wordsOnPage(null, read)] : []));
    } catch {
      page.replaceChildren();
    }
  }

  return {
    element: el(
      "div",
      {},
      field("Question", question),
      field("Words of the page", words, { hint: HINT }),
      page,
      media.element,
    ),
    value() {
      if (!question.value.trim()) throw new Incomplete("Write a question.", question);
      const value = { question: question.value };
      let read;
      try {
        read = readWords(words.value);
      } catch (error) {
        throw new Incomplete(/** @type {Error} */ (error).message, words);
      }
      const [image] = media.files();
      return { ...value, ...(read.length ? { word_boxes: read } : {}), ...(image ? { image } : {}) };
    },
    fill(value) {
      question.value = value.question ?? "";
      words.value = value.word_boxes ? lines(value.word_boxes) : "";
      media.fill(value.image ? [value.image] : []);
      again();
    },
  };
}

/** One word a line. */
const lines = (boxes) => `[\n${boxes.map((box) => `  ${JSON.stringify(box)}`).join(",\n")}\n]`;
