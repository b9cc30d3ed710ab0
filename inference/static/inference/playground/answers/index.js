/** Answers as people read them, by the task's output kind. */

import { el } from "../dom.js";
import { json } from "./json.js";

/**
 * @typedef {object} Asked
 * @property {any} description of the pipeline, as the page has it
 * @property {any} inputs as they were sent: one, or a list of them; images and recordings are blobs
 * @property {Record<string, any>} parameters
 *
 * @typedef {(output: any, asked: {description: any, input: any, parameters: Record<string, any>}) => HTMLElement} Show
 *   the answer to one input. Its first element with the class `summary` says the answer in one sentence.
 */

/** @type {Record<string, () => Promise<{show: Show}>>} */
const KINDS = {
  labels: () => import("./labels.js"),
  spans: () => import("./spans.js"),
  fills: () => import("./fills.js"),
  vectors: () => import("./vectors.js"),
  scores: () => import("./scores.js"),
  ranking: () => import("./ranking.js"),
  text: () => import("./text.js"),
  answers: () => import("./answers.js"),
  cells: () => import("./cells.js"),
  boxes: () => import("./boxes.js"),
  masks: () => import("./masks.js"),
  depth: () => import("./depth.js"),
  media: () => import("./media.js"),
  transcript: () => import("./transcript.js"),
  decisions: () => import("./decisions.js"),
};

/**
 * The answer to a request.
 *
 * @param {any} output
 * @param {Asked} asked
 * @returns {Promise<HTMLElement>}
 */
export async function render(output, { description, inputs, parameters }) {
  const { show } = KINDS[description.output] ? await KINDS[description.output]() : { show: json };
  const one = (/** @type {any} */ each, /** @type {any} */ input) =>
    isError(each) ? failed(each) : careful(show, each, { description, input, parameters });
  if (!isList(inputs) || !Array.isArray(output)) return el("div", { class: "answer" }, one(output, inputs));
  const { several } = await import("./several.js");
  return el("div", { class: "answer" }, await several(output, inputs, description, one));
}

/** A list of messages is one input. */
export function isList(inputs) {
  return Array.isArray(inputs) && !inputs.some((each) => each && typeof each === "object" && "role" in each);
}

const isError = (output) => typeof output?.error === "string" && "error_type" in output;

function failed(output) {
  return el("p", { class: "notice bad summary" }, output.error, " ", el("code", {}, output.error_type));
}

/** What has another form than the kind's is shown as it is. */
function careful(show, output, asked) {
  try {
    return show(output, asked);
  } catch (error) {
    console.warn("This answer is shown as JSON:", error);
    return json(output);
  }
}
