/** A question about a table, whose cells are edited in place. CSV or cells of a spreadsheet may be pasted into any cell. */

import { button, el, field } from "../dom.js";
import { Incomplete } from "../errors.js";

export function create({ changed }) {
  const query = el("input", { type: "text", on: { input: changed } });
  const table = el("table", { class: "pg-grid" });
  /** @type {string[][]} the first row has the names of columns */
  let cells = [[""]];

  function draw(focus) {
    const rows = cells.map((row, y) =>
      el("tr", {}, ...row.map((_, x) => el(y ? "td" : "th", y ? {} : { scope: "col" }, cell(x, y))), el("td", { class: "edge" }, y ? remover(`Remove row ${y}`, () => removeRow(y), cells.length > 2) : null)),
    );
    const columns = cells[0].map((_, x) => el("td", { class: "edge" }, remover(`Remove column ${x + 1}`, () => removeColumn(x), cells[0].length > 1)));
    table.replaceChildren(el("thead", {}, rows[0]), el("tbody", {}, ...rows.slice(1)), el("tfoot", {}, el("tr", {}, ...columns)));
    if (focus) table.rows[focus.y]?.cells[focus.x]?.querySelector("input")?.focus();
    changed();
  }

  function cell(x, y) {
    return el("input", {
      type: "text",
      value: cells[y][x],
      "aria-label": y ? `Row ${y}, ${cells[0][x] || `column ${x + 1}`}` : `Name of column ${x + 1}`,
      on: {
        input(event) {
          cells[y][x] = event.target.value;
          changed();
        },
        keydown(event) {
          if (event.key !== "Enter" || event.ctrlKey || event.metaKey || event.isComposing) return;
          event.preventDefault();
          if (y === cells.length - 1) cells.push(cells[0].map(() => ""));
          draw({ x, y: y + 1 });
        },
        paste(event) {
          const pasted = parsed(event.clipboardData.getData("text"));
          if (pasted.length < 2 && pasted[0]?.length < 2) return;
          event.preventDefault();
          put(pasted, x, y);
        },
      },
    });
  }

  /** Pasted cells, from one on; pasted into the first, they are the table. */
  function put(pasted, x, y) {
    if (!x && !y) cells = [];
    const width = Math.max(cells[0]?.length ?? 0, x + Math.max(...pasted.map((row) => row.length)));
    const height = Math.max(cells.length, y + pasted.length, 2);
    cells = Array.from({ length: height }, (_, row) => Array.from({ length: width }, (_, column) => pasted[row - y]?.[column - x] ?? cells[row]?.[column] ?? ""));
    draw({ x, y });
  }

  function remover(name, listener, possible) {
    if (!possible) return null;
    const made = button("×", listener);
    made.className = "pg-remove";
    made.ariaLabel = name;
    return made;
  }

  function removeRow(y) {
    cells.splice(y, 1);
    draw({ x: 0, y: Math.min(y, cells.length - 1) });
  }

  function removeColumn(x) {
    for (const row of cells) row.splice(x, 1);
    draw({ x: Math.min(x, cells[0].length - 1), y: 0 });
  }

  const addRow = button("Add a row", () => {
    cells.push(cells[0].map(() => ""));
    draw({ x: 0, y: cells.length - 1 });
  });
  const addColumn = button("Add a column", () => {
    for (const row of cells) row.push("");
    draw({ x: cells[0].length - 1, y: 0 });
  });
  const hint = el("p", { class: "hint" }, "CSV or cells of a spreadsheet can be pasted into the first cell.");
  const grid = el("div", { class: "field" }, el("span", { class: "label" }, "Table"), el("div", { class: "wide" }, table), el("div", { class: "row" }, addRow, addColumn), hint);

  return {
    element: el("div", {}, field("Question", query), grid),
    value() {
      if (!query.value.trim()) throw new Incomplete("Write a question.", query);
      const names = cells[0].map((name) => name.trim());
      if (names.some((name) => !name)) throw new Incomplete("Each column needs a name.", table.querySelector("th input"));
      if (new Set(names).size < names.length) throw new Incomplete("Two columns have the same name.", table.querySelector("th input"));
      const rows = cells.slice(1).filter((row) => row.some((each) => each.trim()));
      if (!rows.length) throw new Incomplete("The table needs a row.", table.querySelector("td input"));
      return { query: query.value, table: Object.fromEntries(names.map((name, x) => [name, rows.map((row) => row[x])])) };
    },
    fill(value) {
      query.value = value?.query ?? "";
      const columns = Object.entries(value?.table ?? { "": [""] });
      const height = Math.max(...columns.map(([, column]) => column.length));
      cells = [columns.map(([name]) => name), ...Array.from({ length: height }, (_, y) => columns.map(([, column]) => String(column[y] ?? "")))];
      draw();
    },
  };
}

/** Rows of cells: of a spreadsheet, with tabs, or CSV (RFC 4180), with commas or semicolons. */
export function parsed(text) {
  const separator = text.includes("\t") ? "\t" : (text.split("\n", 1)[0].match(/[,;]/)?.[0] ?? ",");
  const rows = [[""]];
  let quoted = false;
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    const row = rows[rows.length - 1];
    if (quoted) {
      if (character !== '"') row[row.length - 1] += character;
      else if (text[at + 1] === '"') row[row.length - 1] += text[++at];
      else quoted = false;
    } else if (character === '"' && !row[row.length - 1]) quoted = true;
    else if (character === separator) row.push("");
    else if (character === "\n") rows.push([""]);
    else if (character !== "\r") row[row.length - 1] += character;
  }
  if (rows.length > 1 && rows[rows.length - 1].join("") === "") rows.pop();
  return rows.map((row) => row.map((each) => each.trim()));
}
