/**
 * A control for each parameter of a pipeline, made from its JSON schema. What is not set is not sent. Those that are
 * needed are a part of the request like its input, and stand beside it.
 */

import { button, el, newId } from "./dom.js";
import { Incomplete } from "./errors.js";

const SHOWN_AT_ONCE = 6;
const NOT_SET = "default";

/**
 * @typedef {{name: string, schema: any, words: string, meaning: string, required: boolean}} Parameter
 * @typedef {{element: HTMLElement, value: () => any, fill: (value: any) => void, control: HTMLElement}} Control
 *   `value()` is undefined where nothing is set
 */

/**
 * @param {{parameters: Parameter[], changed: () => void}} options
 * @returns {{needed: HTMLElement, optional: HTMLElement, value: () => Record<string, any>, fill: (values: Record<string, any>) => void}}
 */
export function createParameters({ parameters, changed }) {
  const controls = new Map();
  for (const parameter of parameters) {
    const told = () => {
      count();
      changed();
    };
    controls.set(parameter.name, row(parameter, told));
  }
  const elements = (chosen) => chosen.map(({ name }) => controls.get(name).element);
  const needed = el("div", {}, ...elements(parameters.filter(({ required }) => required)));
  const optionals = parameters.filter(({ required }) => !required);
  const rows = elements(optionals);
  const few = rows.slice(0, rows.length > SHOWN_AT_ONCE + 1 ? SHOWN_AT_ONCE : rows.length);
  const more = rows.slice(few.length);
  const summary = el("summary");
  const rest = el("details", { class: "pg-more" }, summary, el("div", { class: "pg-parameters" }, ...more));
  const optional = el("div", {}, el("div", { class: "pg-parameters" }, ...few), more.length ? rest : null);

  function count() {
    const set = optionals.slice(few.length).filter(({ name }) => controls.get(name).isSet()).length;
    summary.textContent = `${more.length} more${set ? `, ${set} set` : ""}`;
  }

  count();
  return {
    needed,
    optional,
    value() {
      const values = {};
      for (const { name, required } of parameters) {
        const { value, control } = controls.get(name);
        const given = value();
        if (given !== undefined) values[name] = given;
        else if (required) throw new Incomplete(`${name} is needed: ${words(parameters, name)}.`, control);
      }
      return values;
    },
    fill(values) {
      for (const { name } of parameters) controls.get(name).fill(values?.[name] ?? undefined);
      if (optionals.slice(few.length).some(({ name }) => values?.[name] !== undefined)) rest.open = true;
      count();
    },
  };
}

const words = (parameters, name) => parameters.find((each) => each.name === name).words;

/** @param {Parameter} parameter */
function row(parameter, changed) {
  const { name, meaning } = parameter;
  const labelId = newId("name");
  const hint = el("p", { class: "hint", id: newId("hint") }, ...withCode(meaning));
  const made = kindOf(parameter.schema)(parameter, { changed: () => mark(changed), labelId, hintId: hint.id });
  const label = el(made.group ? "span" : "label", { class: "label", id: labelId }, el("code", {}, name));
  if (!made.group) label.htmlFor = made.control.id ||= newId("parameter");
  const element = el("div", { class: "field pg-parameter", data: { parameter: name } }, label, made.element, hint);

  function isSet() {
    try {
      return made.value() !== undefined;
    } catch {
      return true;
    }
  }

  function mark(then) {
    element.classList.toggle("set", isSet());
    then?.();
  }

  const fill = (value) => {
    made.fill(value);
    mark();
  };
  return { element, control: made.control, value: made.value, fill, isSet };
}

/** A meaning, whose names are between backticks. */
const withCode = (text) => text.split("`").map((part, number) => (number % 2 ? el("code", {}, part) : part));

/** What makes the control for a schema. */
function kindOf(schema) {
  if (schema.enum) return choice;
  if (schema.type === "boolean") return flag;
  if (schema.type === "integer" || schema.type === "number") return number;
  if (schema.type === "string") return text;
  if (schema.type === "array" && schema.items?.type === "string") return tags;
  return json;
}

// Controls

/** The attributes that name and describe a control. */
const described = ({ hintId }) => ({ "aria-describedby": hintId });

function choice({ schema }, about) {
  const shown = schema.enum.map((value) => el("option", { value: JSON.stringify(value) }, String(value)));
  const control = el("select", { ...described(about), on: { change: about.changed } }, el("option", { value: "" }, NOT_SET), ...shown);
  return {
    element: control,
    control,
    value: () => (control.value ? JSON.parse(control.value) : undefined),
    fill: (value) => (control.value = value === undefined ? "" : JSON.stringify(value)),
  };
}

function flag(_, about) {
  const name = newId("flag");
  const options = [
    [NOT_SET, undefined],
    ["true", true],
    ["false", false],
  ].map(([word, value]) => {
    const radio = el("input", { type: "radio", name, on: { change: about.changed } });
    return { value, radio, element: el("label", {}, radio, el("span", {}, word)) };
  });
  const element = el(
    "div",
    { class: "pg-choice", role: "radiogroup", "aria-labelledby": about.labelId, ...described(about) },
    ...options.map((option) => option.element),
  );
  const fill = (value) => {
    for (const option of options) option.radio.checked = option.value === value;
  };
  fill(undefined);
  return {
    element,
    group: true,
    control: options[0].radio,
    value: () => options.find(({ radio }) => radio.checked)?.value,
    fill,
  };
}

/** A number, and where its bounds are not too far apart a slider; over several powers of ten in equal ratios. */
function number({ name, schema, words }, about) {
  const { minimum: low, maximum: high } = schema;
  const whole = schema.type === "integer";
  const control = el("input", {
    type: "number",
    placeholder: NOT_SET,
    step: whole ? "1" : "any",
    inputMode: whole ? "numeric" : "decimal",
    ...described(about),
    on: { input: () => moved(false) },
  });
  if (low !== undefined) control.min = String(low);
  if (high !== undefined) control.max = String(high);
  const scale = scaleOf(low, high, whole);
  const slider =
    scale &&
    el("input", {
      type: "range",
      min: "0",
      max: String(scale.steps),
      step: "1",
      "aria-label": `${name}, slider`,
      on: { input: () => moved(true) },
    });
  if (slider) slider.value = String(scale.at(1));

  function moved(bySlider) {
    if (bySlider) control.value = String(scale.value(Number(slider.value)));
    else if (slider && control.value !== "" && control.checkValidity()) slider.value = String(scale.at(Number(control.value)));
    about.changed();
  }

  return {
    element: el("div", { class: "pg-number" }, control, slider),
    control,
    value() {
      if (!control.checkValidity()) throw new Incomplete(`${name} must be ${words}.`, control);
      return control.value === "" ? undefined : Number(control.value);
    },
    fill(value) {
      control.value = value === undefined ? "" : String(value);
      if (slider) slider.value = String(scale.at(value ?? 1));
    },
  };
}

function scaleOf(low, high, whole) {
  if (low === undefined || high === undefined || high - low > 100_000) return null;
  const begin = Math.max(low, whole ? 1 : 0);
  if (begin > 0 && high / begin > 50) {
    const steps = 200;
    const ratio = Math.log(high / begin) / steps;
    return {
      steps,
      value: (step) => rounded(begin * Math.exp(ratio * step), whole),
      at: (value) => Math.round(Math.log(Math.max(value, begin) / begin) / ratio),
    };
  }
  const step = whole ? 1 : (high - low) / 200;
  return {
    steps: Math.round((high - low) / step),
    value: (at) => rounded(low + at * step, whole),
    at: (value) => Math.round((value - low) / step),
  };
}

/** @returns {number} with as many digits as somebody would write */
const rounded = (value, whole) => (whole ? Math.round(value) : Number(value.toPrecision(value < 0.1 ? 1 : 2)));

function text({ name, schema, words }, about) {
  const control = el("input", { type: "text", placeholder: NOT_SET, ...described(about), on: { input: about.changed } });
  if (schema.maxLength) control.maxLength = schema.maxLength;
  const pattern = schema.pattern ? new RegExp(schema.pattern, "u") : null;
  return {
    element: control,
    control,
    value() {
      if (control.value && pattern && !pattern.test(control.value)) {
        throw new Incomplete(`${name} must be ${words}.`, control);
      }
      return control.value || undefined;
    },
    fill: (value) => (control.value = value ?? ""),
  };
}

/** A list of texts: Enter adds one, Backspace in an empty field removes the last. */
function tags({ name, schema }, about) {
  let values = [];
  const list = el("ul", { class: "pg-tags" });
  const control = el("input", {
    type: "text",
    placeholder: "Enter adds",
    ...described(about),
    on: {
      keydown(event) {
        if (event.isComposing || event.ctrlKey || event.metaKey) return;
        if (event.key === "Enter") {
          event.preventDefault();
          take();
        } else if (event.key === "Backspace" && !control.value && values.length) set(values.slice(0, -1));
      },
      input: about.changed,
      paste(event) {
        const pasted = event.clipboardData.getData("text").split("\n").map((line) => line.trim()).filter(Boolean);
        if (pasted.length < 2) return;
        event.preventDefault();
        set([...values, ...pasted]);
      },
      blur: () => take(),
    },
  });
  if (schema.items.maxLength) control.maxLength = schema.items.maxLength;
  const most = schema.maxItems ?? Infinity;

  function take() {
    if (!control.value.trim()) return;
    const added = control.value.trim();
    control.value = "";
    set([...values, added]);
  }

  function set(next) {
    values = [...new Set(next)].slice(0, most);
    list.replaceChildren(...values.map(shown));
    about.changed();
  }

  function shown(value) {
    const remove = button("×", () => {
      set(values.filter((each) => each !== value));
      control.focus();
    });
    remove.className = "pg-remove";
    remove.ariaLabel = `Remove ${value} from ${name}`;
    return el("li", { class: "tag" }, value, remove);
  }

  return {
    element: el("div", { class: "pg-taglist" }, list, control),
    control,
    value() {
      const written = control.value.trim();
      const all = written && !values.includes(written) ? [...values, written] : values;
      return all.length ? [...all] : undefined;
    },
    fill(value) {
      control.value = "";
      values = Array.isArray(value) ? value.map(String) : [];
      list.replaceChildren(...values.map(shown));
    },
  };
}

function json({ name, words }, about) {
  const control = el("textarea", {
    rows: 2,
    class: "pg-json",
    spellcheck: false,
    placeholder: `${NOT_SET}; otherwise JSON`,
    ...described(about),
    on: { input: about.changed },
  });
  return {
    element: control,
    control,
    value() {
      if (!control.value.trim()) return undefined;
      try {
        return JSON.parse(control.value);
      } catch {
        throw new Incomplete(`${name} must be JSON: ${words}.`, control);
      }
    },
    fill: (value) => (control.value = value === undefined ? "" : JSON.stringify(value)),
  };
}
