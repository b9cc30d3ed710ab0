/** A link that fills in the form: inputs and parameters stand in the fragment, which browsers send to no server. */

import { hasMedia } from "./media.js";

const LONGEST = 16_000;

/**
 * @param {{inputs: any, parameters: Record<string, any>}} request
 * @returns {{link: string, left: string}} the link, and what is not in it, as a sentence
 */
export function linkTo({ inputs, parameters }) {
  const media = hasMedia(inputs);
  const values = new URLSearchParams();
  const kept = media ? withoutMedia(inputs) : inputs;
  if (kept !== null) values.set("inputs", JSON.stringify(kept));
  if (Object.keys(parameters).length) values.set("parameters", JSON.stringify(parameters));
  const link = `${location.origin}${location.pathname}#${values}`;
  if (link.length > LONGEST) return { link: "", left: "This input is too long for a link." };
  return { link, left: media ? "The link has all but the image or recording." : "" };
}

/** @returns {{inputs?: any, parameters?: Record<string, any>}|null} what the address of this page has */
export function fromLink() {
  const values = new URLSearchParams(location.hash.slice(1));
  try {
    const found = {};
    for (const name of ["inputs", "parameters"]) if (values.has(name)) found[name] = JSON.parse(values.get(name) ?? "");
    return Object.keys(found).length ? found : null;
  } catch {
    return null; // not one of ours
  }
}

function withoutMedia(value) {
  if (value instanceof Blob) return null;
  if (Array.isArray(value)) return value.filter((each) => !(each instanceof Blob)).map(withoutMedia);
  if (value === null || typeof value !== "object") return value;
  const entries = Object.entries(value).map(([name, each]) => [name, withoutMedia(each)]);
  return Object.fromEntries(entries);
}
