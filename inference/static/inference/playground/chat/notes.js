/** What is said below a generated text. */

import { milliseconds } from "../figures.js";

/**
 * @param {{prompt_tokens?: number, generated_tokens: number, first_token_ms: number, token_ms: number} | null} generation
 */
export function facts(generation) {
  if (!generation) return "";
  const { prompt_tokens: read, generated_tokens: written, first_token_ms: first, token_ms: each } = generation;
  const parts = [`${counted(written, "token")} written`];
  if (read) parts.unshift(`${counted(read, "token")} read`);
  if (written) parts.push(`first after ${milliseconds(first)}`);
  if (each > 0.1 && written > 1) parts.push(`${(1000 / each).toFixed(each < 100 ? 0 : 1)} tokens/s`);
  return parts.join(" · ");
}

/** Why a text is not complete; empty for one that is. */
export function unfinished(reason) {
  return (
    {
      length: "It ended at the limit of new tokens.",
      cancelled: "It was stopped.",
      left: "The page was left before the end.",
      failed: "It broke off.",
    }[reason] ?? ""
  );
}

function counted(number, name) {
  return `${number} ${name}${number === 1 ? "" : "s"}`;
}
