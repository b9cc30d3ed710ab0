/** What is said in a recording: with times, from which it can be played. */

import { el } from "../dom.js";
import { asBlob, objectUrl } from "../media/blobs.js";
import { clock } from "./numbers.js";

const SHORT_S = 1.2;
/** Pieces that are mostly shorter than this are words, which flow; longer ones are phrases, with a line each. */

/** @type {import("./index.js").Show} */
export function show(output, { input }) {
  const blob = asBlob(input) ?? asBlob(input?.audio);
  const player = blob && el("audio", { controls: true, src: objectUrl(blob) });
  const chunks = output.chunks ?? [];
  const text = output.text.trim() || "Nothing is said.";
  const hint = chunks.length
    ? el("p", { class: "visually-hidden" }, "A piece of the text plays the recording from there.")
    : el("p", { class: "quiet" }, "With return_timestamps, each piece of the text has its time and can be played.");
  return el(
    "div",
    { class: "transcript" },
    player,
    el("p", { class: chunks.length ? "visually-hidden summary" : "written summary" }, text),
    hint,
    chunks.length > 0 && pieces(chunks, player),
  );
}

function pieces(chunks, player) {
  const lengths = chunks.map(({ timestamp: [from, to] }) => (to ?? from) - from).toSorted((one, other) => one - other);
  const flowing = lengths[Math.floor(lengths.length / 2)] < SHORT_S;
  const buttons = chunks.map(({ text, timestamp: [from] }) => {
    const said = flowing
      ? [text.trim()]
      : [el("span", { class: "time" }, clock(from ?? 0)), el("span", {}, text.trim())];
    const button = el("button", { type: "button", title: `Play from ${clock(from ?? 0)}`, disabled: !player }, ...said);
    button.addEventListener("click", () => {
      player.currentTime = from ?? 0;
      player.play().catch(() => {});
    });
    return button;
  });
  player?.addEventListener("timeupdate", () => {
    const now = player.currentTime;
    const playing = chunks.findLastIndex(({ timestamp: [from] }) => (from ?? 0) <= now + 0.05);
    for (const [number, button] of buttons.entries()) button.classList.toggle("now", number === playing);
  });
  if (!flowing) return el("ol", { class: "phrases" }, ...buttons.map((button) => el("li", {}, button)));
  return el("p", { class: "words" }, ...buttons.flatMap((button) => [button, " "]));
}
