/** The playground: reads what the page says of the pipeline, and makes a form for it. */

import * as connection from "./connection.js";
import { el } from "./dom.js";
import { forget, kept, keyForm, keyInUse } from "./key.js";
import { progressBar, stateOf, watch } from "./progress.js";
import { createWorkbench } from "./workbench.js";

const place = document.getElementById("playground");
const notices = document.getElementById("notices");
let description = JSON.parse(document.getElementById("pipeline").textContent);
let stopWatching = () => {};

start();

async function start() {
  if (!description.key_needed) return show();
  const key = kept();
  if (!key) return askForKey("Each caller has one; whoever runs this server makes them.");
  const wrong = await use(key);
  if (wrong) {
    forget();
    askForKey(wrong);
  }
}

/** @param {string} sentence */
function askForKey(sentence) {
  stopWatching();
  place.replaceChildren(keyForm({ sentence, use }));
  place.querySelector("input").focus();
}

/** Read this page with a key. Returns what is wrong with it, or nothing. */
async function use(key) {
  if (!/^[\x21-\x7e]+$/.test(key)) return "A key is one word of letters and digits.";
  connection.useKey(key);
  const wrong = await readAgain();
  if (!wrong) {
    await show();
    place.prepend(keyInUse(giveUp));
  }
  return wrong;
}

function giveUp() {
  forget();
  connection.useKey("");
  askForKey("Each caller has one; whoever runs this server makes them.");
}

/** The description may have changed: with a key, or since a worker is ready. */
async function readAgain() {
  let reply;
  try {
    reply = await fetch(location.pathname, { headers: { accept: "text/html", ...connection.authorization() } });
  } catch {
    return "The server cannot be reached. Try again.";
  }
  if (!reply.ok) return (await reply.json().catch(() => ({}))).error ?? `The server answered ${reply.status}.`;
  const page = new DOMParser().parseFromString(await reply.text(), "text/html");
  description = JSON.parse(page.getElementById("pipeline").textContent);
  document.querySelector(".pg-head").replaceWith(page.querySelector(".pg-head"));
  for (const link of page.querySelectorAll("link[rel=stylesheet]")) {
    const known = [...document.styleSheets].some(({ href }) => href === new URL(link.getAttribute("href"), location.href).href);
    if (!known) document.head.append(document.importNode(link));
  }
  document.title = page.title;
  return "";
}

async function show() {
  const { root, pipeline } = description;
  connection.configure(description, connected);
  stopWatching();
  if (description.input) {
    const bench = await createWorkbench(description, { unauthorized: askForKey });
    place.replaceChildren(bench.element);
    document.documentElement.dataset.ready = "";
    connection.connect();
    if (description.state !== "ready") notReady();
    return;
  }
  const bar = progressBar();
  const title = el("h2", {});
  const note = el("p", { class: "quiet" });
  place.replaceChildren(el("section", { class: "card pg-loading", "aria-label": "State" }, title, bar.element, note));
  const update = (found) => {
    showState(found);
    bar.show(found);
    const failed = found.state === "failed";
    title.textContent = failed ? "The model could not be loaded" : "The model is not ready yet";
    note.textContent = failed ? "Workers try again by themselves." : "The form comes as soon as the model is ready.";
  };
  update(description);
  stopWatching = watch(root, pipeline, async (found) => {
    update(found);
    if (found.state === "ready" && !(await readAgain())) show();
  });
}

/** The form is there, but a request would wait or be refused. */
function notReady() {
  const bar = progressBar();
  const notice = el("div", { class: "notice" }, el("p", {}, "The model is not ready; a request waits for it."), bar.element);
  notices.append(notice);
  bar.show(description);
  stopWatching = watch(description.root, description.pipeline, (found) => {
    showState(found);
    bar.show(found);
    if (found.state === "ready") notice.remove();
  });
}

function showState({ state }) {
  const shown = document.getElementById("state");
  shown.className = `state ${state}`;
  shown.textContent = state;
}

/** @param {"open"|"away"} state of the connection */
function connected(state) {
  const id = "connection";
  const before = document.getElementById(id);
  if (state === "open") {
    if (!before) return;
    before.remove();
    stateOf(description.root, description.pipeline).then((found) => found && showState(found));
  } else if (!before) {
    showState({ state: "unavailable" });
    notices.prepend(el("p", { class: "notice bad", id, role: "status" }, "The connection to the server is lost. It is tried again by itself."));
  }
}
