/** The key that callers need: in memory, and in this tab's storage if its owner wants that; never in an address. */

import { button, el, field } from "./dom.js";

const NAME = "inference.key";

export const kept = () => sessionStorage.getItem(NAME) ?? "";
export const forget = () => sessionStorage.removeItem(NAME);

/**
 * @param {{sentence: string, use: (key: string) => Promise<string>}} options `use` returns what is wrong, or nothing
 * @returns {HTMLElement}
 */
export function keyForm({ sentence, use }) {
  const key = el("input", { type: "password", autocomplete: "off", required: true, spellcheck: false, placeholder: "inf_…" });
  const keep = el("input", { type: "checkbox" });
  const said = el("p", { class: "pg-wrong", role: "alert" });
  const send = el("button", { class: "button" }, "Use this key");
  const form = el(
    "form",
    { class: "card pg-key" },
    el("h2", {}, "A key is needed"),
    el("p", { class: "quiet" }, sentence),
    field("Key", key),
    el("label", { class: "pg-check" }, keep, " Keep it until this tab is closed"),
    said,
    send,
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    send.disabled = true;
    const given = key.value.trim();
    said.textContent = await use(given);
    send.disabled = false;
    if (said.textContent) key.focus();
    else if (keep.checked) sessionStorage.setItem(NAME, given);
  });
  return form;
}

/** Says that a key is in use, with a way to give it up. */
export function keyInUse(listener) {
  return el("p", { class: "quiet pg-inuse" }, "With your key. ", button("Forget it", listener));
}
