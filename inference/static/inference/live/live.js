/** The live page: shows what the server says each second, and whether it still says it. */
import { Connection } from "./connection.js";
import { Announcer } from "./announcer.js";
import { Section, fill } from "./section.js";

const page = document.getElementById("live");
const process = page.querySelector('[data-section="process"]');

if (process) {
  const announcer = new Announcer(page.querySelector("[data-announcer]"));
  const sections = [...page.querySelectorAll("section[data-section]")].map((element) => new Section(element));
  const indicator = page.querySelector("[data-connection]");
  const words = indicator.querySelector("[data-connection-text]");

  let shown = false;

  const connection = new Connection(page.dataset.socket, {
    onFrame(frame) {
      if (frame.process) showProcess(frame.process[0]);
      for (const section of sections) {
        const rows = frame[section.name];
        const changes = rows ? section.show(rows) : [];
        if (shown) announcer.say(changes);
      }
      shown = true;
    },
    onState(state, text) {
      const before = indicator.dataset.connection;
      indicator.dataset.connection = state;
      words.textContent = text;
      if (state === before) return;
      if (state === "open" && before !== "static") announcer.say(["Connected again."]);
      if (state === "away") announcer.say(["Not connected."]);
      if (state === "ended") announcer.say([text]);
      shown = state === "open" && shown;
    },
  });

  function showProcess(row) {
    process.dataset.state = row.state;
    fill(process, row);
    process.querySelector('[data-field="reason"]').hidden = !row.reason;
  }

  connection.start();
}
