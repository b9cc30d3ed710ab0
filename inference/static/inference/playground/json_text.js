/** JSON as people read it: lists of numbers and of short texts stay in one line. */

const WIDTH = 100;

/** @param {any} value */
export function formatted(value, indent = "") {
  const flat = JSON.stringify(value, (_, each) => (each instanceof Blob ? `(${each.type}, ${each.size} bytes)` : each));
  if (value === null || typeof value !== "object" || value instanceof Blob) return flat;
  if (flat.length + indent.length <= WIDTH) return flat.replace(/^(\[|\{)(.*)(\]|\})$/s, (whole) => spaced(value, whole));
  if (Array.isArray(value) && value.every((each) => typeof each === "number")) return `[${value.join(", ")}]`;
  const inner = `${indent}  `;
  if (Array.isArray(value)) return `[\n${value.map((each) => inner + formatted(each, inner)).join(",\n")}\n${indent}]`;
  const fields = Object.entries(value).map(([name, each]) => `${inner}${JSON.stringify(name)}: ${formatted(each, inner)}`);
  return `{\n${fields.join(",\n")}\n${indent}}`;
}

function spaced(value, flat) {
  if (flat === "[]" || flat === "{}") return flat;
  if (Array.isArray(value)) return `[${value.map((each) => formatted(each)).join(", ")}]`;
  return `{${Object.entries(value).map(([name, each]) => `${JSON.stringify(name)}: ${formatted(each)}`).join(", ")}}`;
}
