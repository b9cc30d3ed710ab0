/** A picture from the camera. */

import { el } from "../dom.js";

/**
 * @param {HTMLElement} place where the dialog is put
 * @returns {Promise<File | null>} `null` if none was taken
 */
export async function takePicture(place) {
  const stream = await navigator.mediaDevices.getUserMedia({
    video: { facingMode: "environment", width: { ideal: 1280 } },
  });
  const video = el("video", { muted: true, playsInline: true, "aria-label": "What the camera sees" });
  video.srcObject = stream;
  const take = el("button", { class: "button", type: "button", disabled: true }, "Take the picture");
  const close = el("button", { class: "button quiet", type: "button" }, "Cancel");
  const dialog = el(
    "dialog",
    { class: "card camera", "aria-label": "Camera" },
    video,
    el("div", { class: "row" }, take, close),
  );
  place.append(dialog);
  dialog.showModal();
  video.addEventListener("loadeddata", () => {
    take.disabled = false;
    take.focus();
  });
  video.play().catch(() => {});
  const picture = await new Promise((resolve) => {
    take.addEventListener("click", () => resolve(photograph(video)));
    close.addEventListener("click", () => resolve(null));
    dialog.addEventListener("close", () => resolve(null)); // by Escape
  });
  for (const track of stream.getTracks()) track.stop();
  dialog.remove();
  return picture;
}

async function photograph(video) {
  const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
  /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d")).drawImage(video, 0, 0);
  const blob = await canvas.convertToBlob({ type: "image/jpeg", quality: 0.92 });
  return new File([blob], "picture.jpg", { type: "image/jpeg" });
}
