/** Any input, as JSON. */

import { field, textarea } from "../dom.js";
import { Incomplete } from "../errors.js";

export function create({ changed }) {
  const text = textarea({ rows: 12, on: { input: changed } });
  text.classList.add("pg-json");
  return {
    element: field("Input, as JSON", text),
    value() {
      if (!text.value.trim()) throw new Incomplete("Write the input as JSON.", text);
      try {
        return JSON.parse(text.value);
      } catch (error) {
        throw new Incomplete(`This is not JSON: ${error.message}.`, text);
      }
    },
    fill(value) {
      text.value = JSON.stringify(value, null, 2);
      changed();
    },
  };
}
