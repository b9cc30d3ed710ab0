/** A recording from the microphone. */

import { el } from "../dom.js";
import { clock } from "../answers/numbers.js";
import { asWav } from "./convert.js";

/**
 * Records until the person ends it.
 *
 * @param {HTMLElement} place where the controls are while it records
 * @param {number} longest seconds
 * @returns {Promise<File | null>} `null` if it was cancelled
 */
export async function record(place, longest) {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1 } });
  const recorder = new MediaRecorder(stream);
  /** @type {Blob[]} */
  const parts = [];
  recorder.addEventListener("dataavailable", (event) => parts.push(event.data));
  const time = el("span", { class: "time", role: "timer" }, clock(0));
  const level = el("span", { class: "meter level", "aria-hidden": "true" }, el("span", {}));
  const done = el("button", { class: "button small", type: "button" }, "Stop and use it");
  const cancel = el("button", { class: "button quiet small", type: "button" }, "Discard");
  const controls = el(
    "div",
    { class: "row recording" },
    el("span", { class: "dot", "aria-hidden": "true" }),
    "Recording",
    time,
    level,
    done,
    cancel,
  );
  place.append(controls);
  done.focus();
  const stop = measure(stream, level, time, () => recorder.state === "recording" && recorder.stop(), longest);
  const kept = await new Promise((resolve) => {
    let keep = true;
    recorder.addEventListener("stop", () => resolve(keep));
    done.addEventListener("click", () => recorder.stop());
    cancel.addEventListener("click", () => {
      keep = false;
      recorder.stop();
    });
    recorder.start();
  });
  stop();
  for (const track of stream.getTracks()) track.stop();
  controls.remove();
  if (!kept || !parts.length) return null;
  const wav = await asWav(new Blob(parts, { type: recorder.mimeType }));
  return new File([wav], "recording.wav", { type: wav.type });
}

/** Shows how long and how loud it is. @returns {() => void} ends it */
function measure(stream, level, time, tooLong, longest) {
  const context = new AudioContext();
  const analyser = new AnalyserNode(context, { fftSize: 1024 });
  context.createMediaStreamSource(stream).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  const began = performance.now();
  const timer = setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    const loudest = samples.reduce((one, other) => Math.max(one, Math.abs(other)), 0);
    level.firstChild.style.setProperty("width", `${Math.min(100, Math.round(100 * Math.sqrt(loudest)))}%`);
    const passed = (performance.now() - began) / 1000;
    time.textContent = clock(passed);
    if (passed > longest) tooLong();
  }, 100);
  return () => {
    clearInterval(timer);
    context.close();
  };
}
