/**
 * Tooltips of charts, for pointers and the keyboard. Without this module a browser shows the titles of the steps itself.
 */

/** @param {HTMLElement} plot */
function enhance(plot) {
  const svg = plot.querySelector("svg");
  const steps = [...plot.querySelectorAll("rect")];
  if (!svg || steps.length === 0) return;
  const texts = steps.map((step) => {
    const title = step.querySelector("title");
    title.remove(); // or there would be two tooltips
    return title.textContent;
  });
  const tip = document.createElement("div");
  tip.className = "chart-tip";
  tip.hidden = true;
  const spoken = document.createElement("div");
  spoken.className = "visually-hidden";
  spoken.setAttribute("aria-live", "polite");
  plot.append(tip, spoken);
  let current = -1;

  /** @param {number} number of the step; -1 for none */
  function show(number) {
    if (number === current) return;
    steps[current]?.classList.remove("current");
    current = number;
    tip.hidden = number < 0;
    if (number < 0) return;
    steps[number].classList.add("current");
    tip.textContent = texts[number];
    const area = svg.getBoundingClientRect();
    const left = area.left - plot.getBoundingClientRect().left;
    const x = left + (area.width * (number + 0.5)) / steps.length;
    const beside = x + 12 + tip.offsetWidth > left + area.width ? x - 12 - tip.offsetWidth : x + 12;
    tip.style.setProperty("left", `${Math.max(0, beside)}px`);
  }

  /** @param {PointerEvent} event */
  function point(event) {
    const area = svg.getBoundingClientRect();
    const number = Math.floor(((event.clientX - area.left) / area.width) * steps.length);
    show(Math.min(steps.length - 1, Math.max(0, number)));
  }

  /** @param {KeyboardEvent} event */
  function press(event) {
    const last = steps.length - 1;
    const from = current < 0 ? last + 1 : current;
    const goals = { ArrowLeft: Math.max(0, from - 1), ArrowRight: Math.min(last, from + 1), Home: 0, End: last, Escape: -1 };
    if (event.altKey || event.ctrlKey || event.metaKey || !(event.key in goals)) return;
    event.preventDefault();
    show(goals[event.key]);
    spoken.textContent = current < 0 ? "" : texts[current];
  }

  svg.addEventListener("pointermove", point);
  svg.addEventListener("pointerdown", point);
  svg.addEventListener("pointerleave", () => show(-1));
  plot.addEventListener("keydown", press);
  plot.addEventListener("blur", () => show(-1));
}

document.querySelectorAll(".chart-plot").forEach(enhance);
