/** In the paths of links, where the key of a row belongs. */
const KEY = "__key__";

/**
 * Put texts into the elements that are marked with the names of their fields.
 * @param {Element} element
 * @param {Record<string, string>} texts
 */
export function fill(element, texts) {
  for (const target of element.querySelectorAll("[data-field]")) {
    const text = texts[target.dataset.field];
    if (text === undefined || target.textContent === text) continue;
    target.textContent = text;
    if (target.dataset.href) target.href = target.dataset.href + encodeURIComponent(text);
  }
}

/** A table whose rows are known by their keys: what stays is updated in place, so that focus and selection stay. */
export class Section {
  #rows = new Map();
  #element;
  #table;
  #body;
  #blank;
  #empty;

  /** @param {HTMLElement} element */
  constructor(element) {
    this.#element = element;
    this.#table = element.querySelector("table");
    this.#body = element.querySelector("tbody");
    this.#blank = element.querySelector("template").content.firstElementChild;
    this.#empty = element.querySelector(".live-empty");
    for (const row of this.#body.rows) this.#rows.set(row.dataset.key, row);
  }

  get name() {
    return this.#element.dataset.section;
  }

  /**
   * @param {Record<string, string>[]} rows in the order in which they are shown
   * @returns {string[]} what has changed that a reader should hear
   */
  show(rows) {
    const changes = [];
    const keys = new Set(rows.map((row) => row.key));
    for (const [key, element] of this.#rows) {
      if (keys.has(key)) continue;
      element.remove();
      this.#rows.delete(key);
      this.#note(changes, element, "gone");
    }
    let next = this.#body.firstElementChild;
    for (const row of rows) {
      const element = this.#rows.get(row.key) ?? this.#add(row.key);
      const before = element.dataset.state;
      fill(element, row);
      element.dataset.state = row.state;
      if (before !== row.state) this.#note(changes, element, row.state);
      if (element === next) next = next.nextElementSibling;
      else this.#body.insertBefore(element, next);
    }
    this.#table.hidden = rows.length === 0;
    this.#empty.hidden = rows.length > 0;
    return changes;
  }

  #add(key) {
    const element = this.#blank.cloneNode(true);
    element.dataset.key = key;
    for (const link of element.querySelectorAll("[data-pattern]")) {
      link.href = link.dataset.pattern.replace(KEY, encodeURIComponent(key));
    }
    this.#rows.set(key, element);
    return element;
  }

  #note(changes, element, state) {
    const noun = this.#element.dataset.noun;
    if (noun) changes.push(`${noun} ${element.querySelector('[data-field="name"]').textContent}: ${state}.`);
  }
}
