/** Probabilities of tokens: levels with a colour and a line below, so that they differ without colours, too. */

import { el } from "../dom.js";

const LEVELS = [
  { from: 0.9, words: "90 % and more" },
  { from: 0.6, words: "60 to 90 %" },
  { from: 0.3, words: "30 to 60 %" },
  { from: 0.1, words: "10 to 30 %" },
  { from: 0, words: "below 10 %" },
];
const KEPT = "inference.playground.colours";

/** @param {number} logprob natural logarithm */
export function levelClass(logprob) {
  return `level-${LEVELS.findIndex(({ from }) => Math.exp(logprob) >= from)}`;
}

/** @param {number} logprob */
export function percent(logprob) {
  const value = Math.exp(logprob) * 100;
  if (value < 0.01) return "below 0.01 %";
  return `${value >= 99.95 ? 100 : value >= 10 ? value.toFixed(1) : value.toPrecision(2)} %`;
}

/**
 * A checkbox with a legend. `change` is called with its state, at once and whenever it changes.
 * @param {(on: boolean) => void} change
 */
export function colourSwitch(change) {
  const box = el("input", { type: "checkbox", checked: kept() });
  const shown = legend();
  const apply = () => {
    shown.hidden = !box.checked;
    change(box.checked);
  };
  box.addEventListener("change", () => {
    sessionStorage.setItem(KEPT, box.checked ? "on" : "off");
    apply();
  });
  apply();
  return el("div", { class: "colours" }, el("label", {}, box, " Colour tokens by probability"), shown);
}

function kept() {
  return sessionStorage.getItem(KEPT) === "on";
}

function legend() {
  const levels = LEVELS.map(({ words }, number) => el("li", { class: `level-${number}` }, words));
  return el("ul", { class: "legend", ariaLabel: "Probability of a token, before temperature and the like" }, ...levels);
}
