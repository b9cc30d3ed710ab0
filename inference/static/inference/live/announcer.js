const MOST_AT_ONCE = 5;
const QUIET_MS = 1000;

/** A polite live region, for changes of state only: what it says is not repeated and not cut off by what follows. */
export class Announcer {
  #element;
  #waiting = [];
  #timer = 0;

  constructor(element) {
    this.#element = element;
  }

  /** @param {string[]} sentences */
  say(sentences) {
    if (!sentences.length) return;
    this.#waiting.push(...sentences);
    this.#timer ||= setTimeout(() => this.#speak(), QUIET_MS);
  }

  #speak() {
    const said = this.#waiting.splice(0);
    const more = said.length - MOST_AT_ONCE;
    this.#element.textContent = said.slice(0, MOST_AT_ONCE).join(" ") + (more > 0 ? ` And ${more} more changes.` : "");
    this.#timer = 0;
  }
}
