/** A state, and questions about it. */

import { button, el, field, textarea } from "../dom.js";
import { Incomplete } from "../errors.js";

const TYPES = {
  noul: { name: "yes or no", hint: "" },
  choice: { name: "one of several", hint: "One option in each line; “option: when it is right”." },
  score: { name: "a level", hint: "One level in each line, the lowest first." },
};

export function create({ description, changed }) {
  const most = description.input.schema?.properties?.questions?.maxProperties ?? Infinity;
  const state = textarea({ rows: 5, on: { input: changed } });
  const list = el("div", { class: "pg-questions" });
  const add = button("Add a question", () => {
    insert("", { type: "noul" }).name.focus();
    changed();
  });
  /** @type {ReturnType<typeof question>[]} */
  let questions = [];

  function insert(name, value) {
    const made = question(name, value, {
      changed,
      remove() {
        questions = questions.filter((each) => each !== made);
        made.element.remove();
        number();
        changed();
      },
    });
    questions.push(made);
    list.append(made.element);
    number();
    return made;
  }

  function number() {
    for (const [index, each] of questions.entries()) each.number(index + 1);
    add.disabled = questions.length >= most;
  }

  const element = el(
    "div",
    {},
    field("State", state, { hint: "What the questions are about: a text, or JSON." }),
    el("div", { class: "field" }, el("span", { class: "label" }, "Questions"), list, add),
  );
  return {
    element,
    value() {
      if (!state.value.trim()) throw new Incomplete("Write the state.", state);
      if (!questions.length) throw new Incomplete("Add a question.", add);
      return { state: asJson(state.value), questions: Object.fromEntries(questions.map((each) => each.entry())) };
    },
    fill(value) {
      state.value = typeof value?.state === "string" ? value.state : JSON.stringify(value?.state ?? "", null, 2);
      questions = [];
      list.replaceChildren();
      for (const [name, each] of Object.entries(value?.questions ?? {})) insert(name, each);
      changed();
    },
  };
}

/** An object or a list where the text is one; other texts as they are. */
function asJson(text) {
  if (!/^\s*[{[]/.test(text)) return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function question(name, value, { changed, remove }) {
  const named = el("input", { type: "text", value: name, on: { input: changed } });
  const type = el("select", { on: { change: () => show(true) } }, ...Object.entries(TYPES).map(([each, { name }]) => el("option", { value: each }, name)));
  const instructions = el("input", { type: "text", value: written(value.instructions ?? ""), on: { input: changed } });
  const criteria = textarea({ rows: 3, value: lines(value.criteria), on: { input: changed } });
  const hint = el("span", {});
  const options = field("Options", criteria, { hint });
  const removing = button("Remove", remove);
  const element = el(
    "fieldset",
    { class: "pg-question" },
    el("div", { class: "pg-two" }, field("Name", named), field("Answer", type)),
    field("Question", instructions),
    options,
    removing,
  );
  type.value = value.type in TYPES ? value.type : "noul";

  function show(told) {
    options.hidden = type.value === "noul";
    hint.textContent = TYPES[type.value].hint;
    if (told) changed();
  }

  show(false);
  return {
    element,
    name: named,
    number(own) {
      element.ariaLabel = `Question ${own}`;
      removing.ariaLabel = `Remove question ${own}`;
    },
    entry() {
      if (!named.value.trim()) throw new Incomplete("Each question needs a name.", named);
      const made = { type: type.value, ...(instructions.value.trim() ? { instructions: instructions.value } : {}) };
      const given = criteria.value.split("\n").map((line) => line.trim()).filter(Boolean);
      if (type.value !== "noul" && !given.length) throw new Incomplete("Write the options, one in each line.", criteria);
      if (type.value === "noul" && value.type === "noul" && value.criteria) made.criteria = value.criteria;
      if (type.value === "score") made.criteria = given;
      if (type.value === "choice") {
        made.criteria = Object.fromEntries(
          given.map((line) => {
            const [option, ...meaning] = line.split(":");
            return [option.trim(), meaning.join(":").trim() || null];
          }),
        );
      }
      return [named.value.trim(), made];
    },
  };
}

const written = (content) => (typeof content === "string" ? content : JSON.stringify(content));

function lines(criteria) {
  if (Array.isArray(criteria)) return criteria.map(written).join("\n");
  return Object.entries(criteria ?? {})
    .map(([option, meaning]) => (meaning === null ? option : `${option}: ${written(meaning)}`))
    .join("\n");
}
