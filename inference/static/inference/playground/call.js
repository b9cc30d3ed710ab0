/** The same call as commands and code, and as a link to this page. */

import { addCopyButtons } from "../copy.js";
import { tabs } from "../tabs.js";
import { button, el } from "./dom.js";
import { linkTo } from "./link.js";
import { hasMedia } from "./media.js";
import { snippets } from "./snippets.js";

const NAMES = ["curl", "Python", "JavaScript", "WebSocket"];

/** @param {any} description */
export function createCall(description) {
  const blocks = NAMES.map((name) => {
    const pre = el("pre", { tabIndex: 0 });
    return { name, pre, panel: el("div", { class: "code" }, pre) };
  });
  const said = el("span", { class: "quiet", role: "status" });
  const copy = button("Copy link", copyLink);
  const element = el(
    "section",
    { class: "card pg-call", "aria-label": "The same call" },
    el("div", { class: "row pg-cardhead" }, el("h2", {}, "The same call"), copy),
    said,
    ...tabs(blocks, "Languages"),
  );
  addCopyButtons(element);
  let link = "";

  async function copyLink() {
    const { left } = shown ?? {};
    if (!link) return;
    try {
      await navigator.clipboard.writeText(link);
      said.textContent = `The link is copied. ${left}`;
    } catch {
      history.replaceState(null, "", link);
      said.textContent = `The link is in the address of this page. ${left}`;
    }
  }

  let shown = null;
  return {
    element,
    /** @param {{inputs: any, parameters: Record<string, any>, stream?: boolean}} request */
    show(request) {
      shown = linkTo(request);
      link = shown.link;
      copy.disabled = !link;
      copy.title = shown.left;
      said.textContent = "";
      const made = snippets({
        address: location.origin,
        path: description.path,
        socket: description.socket,
        pipeline: description.pipeline,
        inputs: request.inputs,
        parameters: request.parameters,
        stream: request.stream,
        key_needed: description.key_needed,
        file: firstName(request.inputs),
        kind: description.input.kind,
        media_out: description.output === "media",
      });
      for (const [index, { code }] of made.entries()) blocks[index].pre.textContent = code;
    },
    /** Keep what was asked in the address of this page, so that it can be loaded again. */
    remember: () => link && history.replaceState(null, "", link),
  };
}

/** The name of the first file in the inputs. */
function firstName(value) {
  if (value instanceof File && /^[\w.-]+$/.test(value.name)) return value.name;
  if (!hasMedia(value) || value instanceof Blob) return "";
  for (const each of Object.values(value)) {
    const found = firstName(each);
    if (found) return found;
  }
  return "";
}
