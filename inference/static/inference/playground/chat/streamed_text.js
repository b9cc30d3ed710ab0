/** A text that grows by tokens: as it is read, or each token with its probability. */

import { el } from "../dom.js";
import { complete, show } from "./fenced.js";
import { levelClass, percent } from "./probabilities.js";

const HINT = "Point at a token, or move with the arrow keys, to see its probability.";

/**
 * A token as it is kept: its text, its logprob (`null` where it is not known), the likeliest ones in its place.
 * @typedef {[string, number | null, [string, number][]?]} Piece
 */

export class StreamedText {
  #coloured = false;
  #drawn = 0;
  #frame = 0;
  #current = -1;
  #carried = 0;
  #ended = false;

  /**
   * @param {{pieces?: Piece[], before?: string, drawn?: () => void}} options `before`: the prompt, if it is to be
   *     shown; `drawn` is called after the text has grown on the page
   */
  constructor({ pieces = [], before = "", drawn = () => {} } = {}) {
    this.pieces = pieces;
    this.drawn = drawn;
    this.prompt = el("span", { class: "prompt" }, before);
    this.body = el("div");
    this.detail = el("p", { class: "token-detail", ariaLive: "polite" });
    this.element = el("div", { class: "generated" }, this.body, this.detail);
    this.body.addEventListener("pointerover", ({ target }) => this.#point(target));
    this.body.addEventListener("keydown", (event) => this.#key(event));
    this.body.addEventListener("focus", () => this.#current < 0 || this.#mark(this.#current));
    this.#redraw();
  }

  get text() {
    return this.pieces.map(([text]) => text).join("");
  }

  /** Whether probabilities are known. */
  get known() {
    return this.pieces.some(([, logprob]) => logprob !== null);
  }

  get coloured() {
    return this.#coloured;
  }

  set coloured(on) {
    if (on === this.#coloured) return;
    this.#coloured = on;
    this.#redraw();
  }

  /** @param {{text: string, logprob?: number, top_tokens?: {text: string, logprob: number}[]}} token a frame */
  add({ text, logprob = null, top_tokens: top }) {
    if (!text) {
      this.#carried += logprob ?? 0; // of a character that is not complete yet
      return;
    }
    const known = logprob === null ? null : Number((logprob + this.#carried).toFixed(4));
    this.#carried = 0;
    this.pieces.push(top ? [text, known, top.map((each) => [each.text, each.logprob])] : [text, known]);
    this.#frame ||= requestAnimationFrame(() => this.#draw());
  }

  /** No token comes any more. */
  end() {
    this.#ended = true;
    cancelAnimationFrame(this.#frame);
    this.#draw();
  }

  #redraw() {
    const { body } = this;
    this.#drawn = 0;
    body.replaceChildren();
    body.className = this.#coloured ? "tokens" : this.prompt.textContent ? "continued" : "read";
    this.detail.hidden = !this.#coloured;
    this.detail.textContent = this.#coloured ? HINT : "";
    if (this.#coloured) {
      body.tabIndex = 0;
      body.role = "group";
      body.ariaLabel = "Tokens coloured by probability";
      body.append(this.prompt);
    } else {
      for (const name of ["tabindex", "role", "aria-label"]) body.removeAttribute(name);
    }
    this.#draw();
  }

  #draw() {
    this.#frame = 0;
    if (this.#coloured) {
      this.body.append(...this.pieces.slice(this.#drawn).map((piece, number) => token(piece, this.#drawn + number)));
      this.#drawn = this.pieces.length;
    } else if (this.prompt.textContent) {
      this.body.replaceChildren(this.prompt, this.text);
    } else {
      show(this.body, this.text);
      if (this.#ended) complete(this.body);
    }
    this.drawn();
  }

  #point(target) {
    const number = target.dataset?.number;
    if (this.#coloured && number) this.#mark(Number(number));
  }

  #key(event) {
    const last = this.pieces.length - 1;
    const next = { ArrowRight: this.#current + 1, ArrowLeft: this.#current - 1, Home: 0, End: last }[event.key];
    if (!this.#coloured || next === undefined || last < 0) return;
    event.preventDefault();
    this.#mark(Math.min(Math.max(next, 0), last));
  }

  #mark(number) {
    this.body.querySelector(".current")?.classList.remove("current");
    this.#current = number;
    const shown = this.body.querySelector(`[data-number="${number}"]`);
    shown?.classList.add("current");
    shown?.scrollIntoView({ block: "nearest" });
    this.detail.textContent = words(this.pieces[number]);
  }
}

function token([text, logprob], number) {
  const level = logprob === null ? "" : ` ${levelClass(logprob)}`;
  return el("span", { class: `token${level}`, data: { number } }, text);
}

function words([text, logprob, top = []]) {
  const others = top.filter(([other]) => other !== text).map(([other, its]) => `${JSON.stringify(other)} ${percent(its)}`);
  const known = logprob === null ? "probability not known" : percent(logprob);
  return `${JSON.stringify(text)}: ${known}${others.length ? `; instead: ${others.join(", ")}` : ""}`;
}
