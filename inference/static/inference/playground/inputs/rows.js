/** Texts, one in each row, of which there may be more or fewer. */

import { button, el, textarea } from "../dom.js";

/**
 * @param {{name: string, add: string, most?: number, changed: () => void, lines?: number}} options
 *   `name`: what one is called; `add`: the name of the button that adds one
 */
export function createRows({ name, add, most = Infinity, changed, lines = 1 }) {
  const list = el("ol", { class: "pg-rows" });
  const adder = button(add, () => insert("", null, true));
  const element = el("div", {}, list, adder);
  const fields = () => [...list.querySelectorAll("textarea")];

  function insert(text, after = null, focus = false) {
    if (fields().length >= most) return null;
    const field = textarea({ value: text, rows: lines, on: { input: changed, keydown, paste } });
    const remove = button("×", () => removeRow(field));
    remove.className = "pg-remove";
    const row = el("li", {}, field, remove);
    if (after) after.closest("li").after(row);
    else list.append(row);
    name_();
    if (focus) field.focus();
    changed();
    return field;
  }

  function removeRow(field) {
    const all = fields();
    const next = all[all.indexOf(field) - 1] ?? all[all.indexOf(field) + 1];
    field.closest("li").remove();
    name_();
    next?.focus();
    changed();
  }

  /** Screen readers say which one it is. */
  function name_() {
    const all = fields();
    for (const [index, field] of all.entries()) {
      field.ariaLabel = all.length > 1 ? `${name} ${index + 1}` : name;
      const remove = field.nextElementSibling;
      remove.ariaLabel = `Remove ${name} ${index + 1}`;
      remove.hidden = all.length === 1;
    }
    adder.disabled = all.length >= most;
    list.classList.toggle("one", all.length === 1);
  }

  function keydown(event) {
    const several = fields().length > 1;
    if (event.key === "Enter" && several && !event.shiftKey && !event.ctrlKey && !event.metaKey && !event.isComposing) {
      event.preventDefault();
      insert("", event.target, true);
    } else if (event.key === "Backspace" && several && !event.target.value) {
      event.preventDefault();
      removeRow(event.target);
    }
  }

  /** In a list, pasted lines are a text each. */
  function paste(event) {
    const pasted = event.clipboardData.getData("text").split(/\r?\n/).filter((line) => line.trim());
    if (fields().length < 2 || pasted.length < 2) return;
    event.preventDefault();
    let at = event.target;
    if (!at.value.trim()) at.value = pasted.shift();
    for (const line of pasted) at = insert(line, at) ?? at;
    changed();
  }

  return {
    element,
    fields,
    /** @returns {string[]} those that are not empty */
    values: () => fields().map((field) => field.value).filter((text) => text.trim()),
    /** @param {string[]} texts */
    fill(texts) {
      list.replaceChildren();
      for (const text of texts.length ? texts : [""]) insert(text);
    },
  };
}
