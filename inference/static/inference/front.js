import { addCopyButtons } from "./copy.js";
import { snippets } from "./playground/snippets.js";
import { refresh } from "./refresh.js";
import { tabs } from "./tabs.js";

const called = document.getElementById("called");
if (called) showCalls(document.getElementById("calls"), JSON.parse(called.textContent));
addCopyButtons();
refresh(document.getElementById("pipelines"));

/** One language at a time, in the place of what the server has written for browsers without scripts. */
function showCalls(part, pipeline) {
  const made = snippets({
    address: location.origin,
    path: pipeline.path,
    socket: pipeline.socket,
    pipeline: pipeline.pipeline,
    inputs: pipeline.example,
    parameters: pipeline.example_parameters,
    stream: pipeline.streams && pipeline.beams === 1,
    key_needed: pipeline.key_needed,
    kind: pipeline.input.kind,
    media_out: pipeline.output === "media",
  });
  const panels = made.map(({ name, code }) => ({ name, panel: name === "curl" ? document.getElementById("curl") : panel(code) }));
  part.replaceChildren(...tabs(panels, "Languages"));
}

function panel(code) {
  const made = document.createElement("div");
  const pre = document.createElement("pre");
  made.className = "code";
  pre.tabIndex = 0;
  pre.textContent = code;
  made.append(pre);
  return made;
}
