/** What an answer took: where its time went, and what else the server says of it. */

import { el } from "./dom.js";

const MEANINGS = {
  Queue: "from admission until the model began",
  Inference: "in the model, with all that ran in the same batch",
  Total: "in the server",
  "Round trip": "from this browser and back",
  "Batch size": "inputs that ran together, those of other clients included",
  Tokens: "read and written",
};
const TIMES = [
  ["queue", ({ queue_ms }) => queue_ms],
  ["inference", ({ inference_ms }) => inference_ms],
  ["server", (t) => t.total_ms - t.queue_ms - t.inference_ms],
  ["network", (t) => t.round_trip_ms - t.total_ms],
];

/**
 * @param {import("./connection.js").Answer} answer
 * @returns {HTMLElement}
 */
export function figures({ times, batch_size, request_id, model_version, generation }) {
  const parts = TIMES.map(([kind, of]) => ({ kind, ms: Math.max(0, of(times)) }));
  const sum = parts.reduce((before, { ms }) => before + ms, 0) || 1;
  const bar = el(
    "div",
    { class: "pg-times", "aria-hidden": "true" },
    ...parts.map(({ kind, ms }) => el("span", { class: kind, style: { "flex-grow": String(ms / sum) } })),
  );
  const list = [
    ["Queue", milliseconds(times.queue_ms), "queue"],
    ["Inference", milliseconds(times.inference_ms), "inference"],
    ["Total", milliseconds(times.total_ms), "server"],
    ["Round trip", milliseconds(times.round_trip_ms), "network"],
    ["Batch size", batch_size || "–"],
    ...(generation ? ofGeneration(generation) : []),
  ];
  const facts = el("dl", { class: "pg-figures" }, ...list.map(([name, value, kind]) => el("div", kind ? { class: kind } : {}, el("dt", { title: MEANINGS[name] }, name), el("dd", {}, String(value)))));
  const ids = el("p", { class: "quiet pg-ids" }, "Request ", el("code", {}, request_id));
  if (model_version) ids.append(", version ", el("code", {}, model_version));
  if (generation?.seed !== undefined) ids.append(", seed ", el("code", {}, String(generation.seed)));
  return el("div", {}, bar, facts, ids);
}

function ofGeneration({ finish_reason, prompt_tokens, generated_tokens, first_token_ms, token_ms }) {
  return [
    ["First token", first_token_ms ? milliseconds(first_token_ms) : "–"],
    ["Tokens/s", token_ms > 0.1 ? (1000 / token_ms).toFixed(token_ms > 100 ? 1 : 0) : "–"],
    ["Tokens", `${prompt_tokens ?? "–"} + ${generated_tokens ?? 0}`],
    ...(finish_reason ? [["Ended by", finish_reason]] : []),
  ];
}

/** @param {number} ms */
export function milliseconds(ms) {
  if (!Number.isFinite(ms)) return "–";
  if (ms >= 1000) return `${(ms / 1000).toFixed(ms >= 10_000 ? 1 : 2)} s`;
  return ms >= 100 ? `${Math.round(ms)} ms` : `${ms.toFixed(1)} ms`;
}
