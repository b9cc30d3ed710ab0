/** Words for the place of each mask: the sentence, and bars of which one can be put into it. */

import { el } from "../dom.js";
import { percent } from "./numbers.js";

/** @type {import("./index.js").Show} */
export function show(output, { description, input }) {
  const places = Array.isArray(output[0]) ? output : [output];
  const mask = description.input?.mask_token;
  const parts = mask ? String(input).split(mask) : [];
  const chosen = places.map(([best]) => best);
  const sentence = el("p", { class: "summary sentence" });
  const write = () =>
    sentence.replaceChildren(...(parts.length === places.length + 1 ? filled(parts, chosen) : [chosen[0].sequence]));
  write();
  const lists = places.map((fills, place) => {
    const choose = (fill) => {
      chosen[place] = fill;
      write();
    };
    const title = places.length > 1 ? `Word ${place + 1}` : "Words";
    return el("div", {}, places.length > 1 && el("h3", {}, title), choices(fills, title, choose));
  });
  return el("div", {}, sentence, ...lists);
}

function filled(parts, chosen) {
  return parts.flatMap((part, place) =>
    chosen[place] ? [part, el("mark", {}, chosen[place].token_str.trim() || chosen[place].token_str)] : [part],
  );
}

function choices(fills, title, choose) {
  const list = el("ol", { class: "bars choices", "aria-label": title });
  for (const [number, fill] of fills.entries()) {
    const button = el(
      "button",
      { class: "name", type: "button", title: "Put it into the sentence" },
      fill.token_str.trim() || JSON.stringify(fill.token_str),
    );
    button.setAttribute("aria-pressed", String(number === 0));
    button.addEventListener("click", () => {
      for (const each of list.querySelectorAll("button")) each.setAttribute("aria-pressed", String(each === button));
      choose(fill);
    });
    list.append(
      el(
        "li",
        {},
        button,
        el(
          "span",
          { class: "track", "aria-hidden": "true" },
          el("span", { class: "fill", style: { "--part": fill.score.toFixed(4) } }),
        ),
        el("span", { class: "value", title: fill.score }, percent(fill.score)),
      ),
    );
  }
  return list;
}
