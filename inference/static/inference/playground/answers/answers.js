/** Answers to a question about a text, an image or a page. */

import { el } from "../dom.js";
import { asBlob } from "../media/blobs.js";
import { bars } from "./bars.js";
import { marked } from "./marked.js";
import { percent } from "./numbers.js";
import { beside, pair } from "./stage.js";

const NONE = "The text does not answer the question.";

/** @type {import("./index.js").Show} */
export function show(output, asked) {
  const answers = Array.isArray(output) ? output : [output];
  if (!answers.length) return el("p", { class: "summary" }, NONE);
  const { input, parameters } = asked;
  if (typeof input.context === "string") return within(answers, input.context);
  const words = input.word_boxes ?? parameters.word_boxes;
  return words ? onPage(answers, input, words) : beside(input, el("div", {}, verdict(answers[0]), list(answers)));
}

const verdict = ({ answer, score }) =>
  el(
    "p",
    { class: "summary verdict" },
    answer.trim() || NONE,
    " ",
    el("span", { class: "quiet", title: score }, percent(score)),
  );

const list = (answers) =>
  bars(
    answers.map(({ answer, score }) => ({ name: answer.trim() || "(no answer)", value: score })),
    { label: "Answers and scores" },
  );

/** The best answer is marked; another one when its button is pressed. */
function within(answers, context) {
  const text = el("div");
  const mark = ({ start, end, score }) =>
    text.replaceChildren(
      marked(context, [{ start, end, hue: "hue-0", title: percent(score) }], "The text with its answer"),
    );
  mark(answers[0]);
  return el("div", {}, verdict(answers[0]), text, answers.length > 1 && choices(answers, mark));
}

function onPage(answers, input, words) {
  const page = el("div", { class: "page" });
  const show = async (answer) => {
    const { wordsOnPage } = await import("./page.js");
    page.replaceChildren(wordsOnPage(asBlob(input.image), words, answer));
  };
  show(answers[0]);
  return pair(page, el("div", {}, verdict(answers[0]), answers.length > 1 && choices(answers, show)));
}

function choices(answers, choose) {
  const list = el("ol", { class: "choices plain", "aria-label": "Answers, the best first" });
  for (const [number, answer] of answers.entries()) {
    const button = el(
      "button",
      { type: "button", "aria-pressed": String(number === 0) },
      answer.answer.trim() || "(no answer)",
    );
    button.addEventListener("click", () => {
      for (const each of list.querySelectorAll("button")) each.setAttribute("aria-pressed", String(each === button));
      choose(answer);
    });
    list.append(el("li", {}, button, el("span", { class: "value", title: answer.score }, percent(answer.score))));
  }
  return list;
}
