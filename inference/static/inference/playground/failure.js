/** A request that ended without an answer: what happened, and what may help. */

import { button, el } from "./dom.js";

const TITLES = {
  overloaded: "The server is busy",
  loading: "The model is loading",
  not_loaded: "The model could not be loaded",
  draining: "The server is stopping",
  worker_lost: "The worker was lost",
  limit_reached: "A limit of this key is reached",
  timeout: "The deadline passed",
  validation: "This request is not right",
  empty: "There is no input",
  payload_too_large: "This is too large",
  unauthorized: "A key is needed",
  forbidden: "This key may not do that",
  not_found: "There is no such pipeline",
  inference: "The model failed on this input",
  internal: "The server made a mistake",
  away: "No connection",
  lost: "The connection was lost",
  cancelled: "Stopped",
};

/**
 * @param {import("./errors.js").AskError} error
 * @param {() => void} again
 */
export function failure(error, again) {
  const kind = error.code === "cancelled" ? "" : error.passes ? "warn" : "bad";
  const shown = el("div", { class: `notice ${kind} pg-failure` }, el("h3", {}, TITLES[error.code] ?? "There is no answer"));
  if (error.code !== "cancelled") shown.append(el("p", {}, error.message));
  if (error.passes) {
    shown.append(el("p", {}, button("Try again", again)));
  }
  return shown;
}
