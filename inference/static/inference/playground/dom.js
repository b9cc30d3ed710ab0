/** Elements, with their texts as texts. */

let made = 0;

/**
 * @param {string} tag
 * @param {Record<string, any>} [properties] of the element; `class`, `data` and names with a dash are attributes,
 *   `on` has listeners by event, `style` has CSS properties
 * @param {...(Node|string|null|undefined|false)} children
 * @returns {any}
 */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name === "class") element.className = value;
    else if (name === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (name === "style") for (const [property, each] of Object.entries(value)) element.style.setProperty(property, each);
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name.includes("-") || name === "for" || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child || child === 0));
  return element;
}

/** An id that no other element has. */
export function newId(prefix = "pg") {
  return `${prefix}-${++made}`;
}

/**
 * A control with its label, and perhaps a sentence about it.
 *
 * @param {string|Node} name
 * @param {any} control
 * @param {{hint?: string|Node, class?: string}} [options]
 */
export function field(name, control, { hint, class: kind = "" } = {}) {
  control.id ||= newId("field");
  const parts = [el("label", { for: control.id }, name), control];
  if (hint) {
    const said = el("p", { class: "hint", id: newId("hint") }, hint);
    control.setAttribute("aria-describedby", said.id);
    parts.push(said);
  }
  return el("div", { class: `field ${kind}` }, ...parts);
}

/** @param {string} name */
export function button(name, listener, properties = {}) {
  return el("button", { type: "button", class: "button quiet small", on: { click: listener }, ...properties }, name);
}

/** A text field that is as high as its text. */
export function textarea(properties = {}) {
  return el("textarea", { rows: 3, spellcheck: false, class: "pg-text", ...properties });
}
