/** A text, and several others that are compared with it. */

import { el, field, textarea } from "../dom.js";
import { Incomplete } from "../errors.js";
import { createRows } from "./rows.js";

/**
 * @param {{one: string, many: string}} fields of the input
 * @param {{one: string, other: string, others: string}} names
 */
export function creator(fields, names) {
  return ({ description, changed }) => {
    const most = description.input.schema?.properties?.[fields.many]?.maxItems;
    const one = textarea({ rows: 2, on: { input: changed } });
    const rows = createRows({ name: names.other, add: `Add a ${names.other.toLowerCase()}`, most, changed, lines: 2 });
    const others = el("div", { class: "field" }, el("span", { class: "label" }, names.others), rows.element);
    return {
      element: el("div", {}, field(names.one, one), others),
      value() {
        if (!one.value.trim()) throw new Incomplete(`Write the ${names.one.toLowerCase()}.`, one);
        const texts = rows.values();
        if (!texts.length) throw new Incomplete(`Write at least one ${names.other.toLowerCase()}.`, rows.fields()[0]);
        return { [fields.one]: one.value, [fields.many]: texts };
      },
      fill(value) {
        one.value = value?.[fields.one] ?? "";
        rows.fill(value?.[fields.many] ?? []);
      },
    };
  };
}
