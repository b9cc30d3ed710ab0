/** Answers to questions about a state, with a probability for each option. */

import { el } from "../dom.js";
import { bars } from "./bars.js";
import { percent, short } from "./numbers.js";

/** @type {import("./index.js").Show} */
export function show(output, { input }) {
  const entries = Object.entries(output);
  const summary = entries.map(([name, decision]) => `${name}: ${said(decision)}`).join(". ");
  return el(
    "div",
    { class: "decisions" },
    el("p", { class: "visually-hidden summary" }, summary),
    ...entries.map(([name, decision]) => one(name, decision, input.questions?.[name] ?? {})),
  );
}

/** @param {any} decision */
function said(decision) {
  switch (decision.type) {
    case "noul":
      return decision.noul >= 0.5 ? "true" : "false";
    case "score":
      return short(decision.score);
    default:
      return decision.choice;
  }
}

function one(name, decision, question) {
  const probabilities = decision.probabilities ?? { true: decision.noul, false: 1 - decision.noul };
  const rows = Object.entries(probabilities).map(([option, value]) => ({ name: legend(decision, option), value }));
  const confidence =
    "confidence" in decision &&
    el("span", { class: "quiet", title: decision.confidence }, ` confidence ${percent(decision.confidence)}`);
  return el(
    "section",
    { "aria-label": name },
    el("h3", {}, name, " ", el("span", { class: "tag" }, decision.type)),
    question.instructions && el("p", { class: "quiet" }, asText(question.instructions)),
    el("p", { class: "verdict" }, said(decision), confidence),
    bars(rows, { label: `Options of ${name}`, most: 20 }),
  );
}

/** Instructions and meanings are texts, or any JSON. */
const asText = (value) => (typeof value === "string" ? value : JSON.stringify(value));

/** A level of a score has a meaning. */
function legend(decision, option) {
  const meaning = decision.legend?.[option];
  return meaning ? `${option}: ${asText(meaning)}` : option;
}
