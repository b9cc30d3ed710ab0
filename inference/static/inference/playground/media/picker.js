/** A field for images or recordings: files, by drop or paste, from the camera or the microphone. */

import { counted } from "../answers/numbers.js";
import { button, el, newId } from "../dom.js";
import { Incomplete } from "../errors.js";
import { fromBase64, objectUrl, size, typeOf, TYPES } from "./blobs.js";

const NAMES = { image: ["image", "images"], audio: ["recording", "recordings"] };
const FORMATS = { image: "PNG, JPEG, WebP, GIF or BMP", audio: "WAV, FLAC, Ogg or MP3" };
const BYTES_PER_SECOND = 32_000;
/** Of what the microphone records. */

/**
 * @typedef {object} Picker
 * @property {HTMLElement} element
 * @property {() => File[]} files
 * @property {() => File[]} needed throws `Incomplete` if there is none
 * @property {(blobs: (Blob | string)[]) => void} fill with blobs, or base64
 */

/**
 * @param {{kind: "image" | "audio", most: number, bytes: number, changed: () => void, label?: string, adds?: boolean}} options
 *   `most` files, of `bytes` each; `adds`: to those that were chosen before, which are replaced otherwise
 * @returns {Picker}
 */
export function picker({ kind, most, bytes, changed, label, adds = false }) {
  const [one, many] = NAMES[kind];
  /** @type {File[]} */
  let files = [];
  const input = el("input", {
    type: "file",
    class: "visually-hidden",
    id: newId("file"),
    accept: `${kind}/*`,
    multiple: most > 1,
  });
  const said = el("p", { class: "hint", role: "status" });
  const list = el("ul", { class: "files", "aria-label": `Chosen ${many}` });
  const tools = el("div", { class: "row" });
  const drop = el(
    "label",
    { class: "drop", for: input.id },
    el(
      "span",
      {},
      el("b", {}, `Choose ${kind === "image" ? "an image" : "a recording"}`),
      ", drop it here, or paste it",
    ),
    el("span", { class: "hint" }, `${FORMATS[kind]}, at most ${size(bytes)}`),
  );
  const title = el("span", { class: "label", id: newId("label") }, label ?? one[0].toUpperCase() + one.slice(1));
  const element = el(
    "div",
    { class: "field picker", role: "group", "aria-labelledby": title.id },
    title,
    input,
    drop,
    tools,
    list,
    said,
  );

  const add = async (/** @type {Iterable<File>} */ given) => {
    said.textContent = "";
    const taken = [];
    for (const file of [...given]) {
      try {
        const { file: made, note } = await usable(file, kind, bytes);
        taken.push(made);
        if (note) said.append(`${note} `);
      } catch (error) {
        said.append(`${/** @type {Error} */ (error).message} `);
      }
    }
    if (taken.length) files = [...(adds ? files : []), ...taken].slice(0, most);
    if (taken.length > most) said.append(`The first ${counted(most, one, many)} are taken. `);
    show();
  };
  const show = () => {
    list.replaceChildren(...files.map((file) => entry(file, () => remove(file))));
    changed();
  };
  const remove = (/** @type {File} */ file) => {
    files = files.filter((each) => each !== file);
    show();
    input.focus();
  };

  input.addEventListener("change", () => {
    add(input.files);
    input.value = ""; // so that the same file may be chosen again
  });
  listen(element, drop, kind, add);
  const device = kind === "image" ? cameraButton(element, add) : microphoneButton(tools, bytes / BYTES_PER_SECOND, add);
  if (navigator.mediaDevices) tools.append(withErrors(device, said, kind));
  return {
    element,
    files: () => files,
    needed() {
      if (!files.length) throw new Incomplete(`Choose ${kind === "image" ? "an image" : "a recording"} first.`, input);
      return files;
    },
    fill(blobs) {
      files = blobs.map((blob, number) => named(blob, kind, number)).slice(0, most);
      show();
    },
  };
}

/** The file as the server takes it. Throws an `Error` with a sentence. */
async function usable(file, kind, bytes) {
  const type = await typeOf(file);
  if (!file.size) throw new Error(`${file.name} is empty.`);
  if (TYPES[kind].includes(type) && file.size <= bytes) return { file: renamed(file, file.name, type), note: "" };
  const { asJpeg, asWav } = await import("./convert.js");
  const stem = file.name.replace(/\.[^.]*$/, "");
  try {
    if (kind === "image") {
      const { blob, width, height } = await asJpeg(file, bytes);
      return {
        file: renamed(blob, `${stem}.jpg`, blob.type),
        note: `${file.name} is sent as JPEG, ${width} × ${height} pixels, ${size(blob.size)}.`,
      };
    }
    const wav = await asWav(file);
    if (wav.size <= bytes)
      return { file: renamed(wav, `${stem}.wav`, wav.type), note: `${file.name} is sent as WAV, ${size(wav.size)}.` };
  } catch {
    throw new Error(`${file.name} is nothing that the server or this browser can read; it takes ${FORMATS[kind]}.`);
  }
  throw new Error(`${file.name} has ${size(file.size)}; the server takes ${size(bytes)}.`);
}

const renamed = (blob, name, type) => new File([blob], name, { type });

function named(blob, kind, number) {
  const made = blob instanceof Blob ? blob : fromBase64(blob);
  return made instanceof File
    ? made
    : renamed(made, `example${number ? number + 1 : ""}.${made.type.split("/")[1] ?? kind}`, made.type);
}

function entry(file, remove) {
  const media = file.type.startsWith("image/")
    ? el("img", { src: objectUrl(file), alt: "" })
    : el("audio", { controls: true, src: objectUrl(file), "aria-label": file.name });
  const away = button("Remove", remove, { "aria-label": `Remove ${file.name}` });
  return el(
    "li",
    {},
    media,
    el("span", { class: "about" }, el("span", {}, file.name), el("span", { class: "hint" }, size(file.size))),
    away,
  );
}

/**
 * Files that are dropped or pasted anywhere, while the field is on the page: a dropped one would else take its place.
 * Of several fields the one takes them that they were dropped on, or that is in the same entry of a list; else the first.
 */
function listen(element, drop, kind, add) {
  const leave = new AbortController();
  const on = (/** @type {string} */ type, /** @type {(event: any) => void} */ listener) => {
    const here = (/** @type {Event} */ event) => {
      if (!element.isConnected) leave.abort();
      else if (element.checkVisibility() && !event.defaultPrevented && isFor(element, event.target)) listener(event);
    };
    document.addEventListener(type, here, { signal: leave.signal });
  };
  const over = (/** @type {boolean} */ yes) => drop.classList.toggle("over", yes);
  on("dragover", (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    over(true);
  });
  on("dragleave", (event) => event.relatedTarget === null && over(false));
  on("drop", (event) => {
    over(false);
    if (!event.dataTransfer.files.length) return;
    event.preventDefault();
    add(event.dataTransfer.files);
  });
  on("paste", (event) => {
    const pasted = [...event.clipboardData.files].filter((file) => file.type.startsWith(`${kind}/`));
    if (!pasted.length) return;
    event.preventDefault();
    add(pasted);
  });
}

function isFor(element, target) {
  const near = target.closest?.(".picker") ?? target.closest?.("li")?.querySelector(".picker");
  return !near || near === element;
}

function cameraButton(element, add) {
  return [
    "Use the camera",
    async () => {
      const { takePicture } = await import("./camera.js");
      const picture = await takePicture(element);
      if (picture) await add([picture]);
    },
  ];
}

function microphoneButton(tools, longest, add) {
  return [
    "Record",
    async () => {
      const { record } = await import("./recorder.js");
      const recording = await record(tools, longest);
      if (recording) await add([recording]);
    },
  ];
}

/** A button that cannot be pressed twice, and says why a device is not to be had. */
function withErrors([name, use], said, kind) {
  const made = button(name, async () => {
    made.hidden = true;
    said.textContent = "";
    try {
      await use();
    } catch (error) {
      said.textContent =
        REASONS[/** @type {Error} */ (error).name] ?? `That did not work: ${/** @type {Error} */ (error).message}`;
      if (said.textContent === REASONS.NotFoundError)
        said.textContent = `This device has no ${kind === "image" ? "camera" : "microphone"}.`;
    } finally {
      made.hidden = false;
      made.focus();
    }
  });
  return made;
}

const REASONS = {
  NotAllowedError: "The browser does not allow it; change that in the settings of this site.",
  NotFoundError: "There is no such device.",
  NotReadableError: "Another program uses the device.",
};
