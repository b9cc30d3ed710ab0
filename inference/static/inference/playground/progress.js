/** The state of the pipeline while it is not ready. */

import { authorization } from "./connection.js";
import { el } from "./dom.js";

const PERIOD_MS = 1000;

/**
 * Ask for the state each second while the page is seen, until the pipeline is ready or `stop` is called.
 *
 * @param {string} address of the server, with its prefix
 * @param {string} pipeline
 * @param {(state: {state: string, reason: string}) => void} update
 */
export function watch(address, pipeline, update) {
  let timer = 0;
  let stopped = false;

  async function look() {
    if (stopped) return;
    const found = document.hidden ? null : await stateOf(address, pipeline);
    if (stopped) return;
    if (found) update(found);
    if (found?.state !== "ready") timer = setTimeout(look, PERIOD_MS);
  }

  look();
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}

/** @returns {Promise<{state: string, reason: string}|null>} null while the server is away */
export async function stateOf(root, pipeline) {
  try {
    const reply = await fetch(`${root}/pipelines/${pipeline}/info`, { headers: authorization() });
    return reply.ok ? await reply.json() : null;
  } catch {
    return null;
  }
}

/** How far loading has come: a bar where the server says a part of the whole. */
export function progressBar() {
  const done = el("span");
  const bar = el("div", { class: "meter", role: "progressbar", "aria-label": "Loading" }, done);
  const words = el("p", { class: "pg-progress" });
  return {
    element: el("div", {}, words, bar),
    /** @param {{state: string, reason: string}} found */
    show({ state, reason }) {
      const percent = reason.match(/(\d+) %/)?.[1];
      words.textContent = reason ? `${reason[0].toUpperCase()}${reason.slice(1)}` : "Waiting for its turn";
      bar.hidden = state === "failed";
      bar.classList.toggle("unknown", !percent);
      if (percent) {
        bar.setAttribute("aria-valuenow", percent);
        done.style.setProperty("width", `${percent}%`);
      } else bar.removeAttribute("aria-valuenow");
    },
  };
}
