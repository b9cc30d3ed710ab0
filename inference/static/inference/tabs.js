/** Tabs as https://www.w3.org/WAI/ARIA/apg/patterns/tabs/ has them: arrow keys move, one panel is shown. */

let made = 0;

/**
 * @param {{name: string, panel: HTMLElement}[]} entries
 * @param {string} label
 * @returns {HTMLElement[]} the list of tabs, then the panels
 */
export function tabs(entries, label) {
  const list = document.createElement("div");
  list.className = "tabs";
  list.role = "tablist";
  list.ariaLabel = label;
  const buttons = entries.map(({ name, panel }) => {
    const button = document.createElement("button");
    button.type = "button";
    button.role = "tab";
    button.id = `tab-${++made}`;
    button.textContent = name;
    panel.id ||= `panel-${made}`;
    panel.role = "tabpanel";
    panel.setAttribute("aria-labelledby", button.id);
    button.setAttribute("aria-controls", panel.id);
    button.addEventListener("click", () => choose(button));
    list.append(button);
    return button;
  });

  function choose(chosen) {
    for (const [number, button] of buttons.entries()) {
      button.ariaSelected = String(button === chosen);
      button.tabIndex = button === chosen ? 0 : -1;
      entries[number].panel.hidden = button !== chosen;
    }
  }

  list.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = buttons[(buttons.indexOf(document.activeElement) + step + buttons.length) % buttons.length];
    choose(next);
    next.focus();
  });
  choose(buttons[0]);
  return [list, ...entries.map(({ panel }) => panel)];
}
