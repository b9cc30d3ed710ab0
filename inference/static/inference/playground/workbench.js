/** The form of a pipeline, what it answers, and how to call it from elsewhere. */

import { tabs } from "../tabs.js";
import { createCall } from "./call.js";
import { ask } from "./connection.js";
import { button, el } from "./dom.js";
import { AskError, Incomplete } from "./errors.js";
import { failure } from "./failure.js";
import { figures, milliseconds } from "./figures.js";
import { createInput } from "./inputs/index.js";
import { formatted } from "./json_text.js";
import { fromLink } from "./link.js";
import { createParameters } from "./parameters.js";
import { progressBar, stateOf } from "./progress.js";

const MAC = /Mac|iP(hone|ad)/.test(navigator.platform);
const UPDATE_MS = 150;
const QUICK_MS = 300;
const FEW_PARAMETERS = 2;
const NARROW_PX = 900;
const SHOWN_LETTERS = 200_000;

/**
 * @param {any} description
 * @param {{unauthorized: (message: string) => void}} options what to do when the key does not work any more
 */
export async function createWorkbench(description, { unauthorized }) {
  let running = null;
  let timer = 0;

  // What is asked
  const changed = () => {
    clearTimeout(timer);
    timer = setTimeout(showCall, UPDATE_MS);
  };
  const parameters = createParameters({ parameters: description.parameters, changed });
  const form = await createInput({ description, changed, submit: () => run(), stop: () => running?.stop() });
  const call = createCall(description);
  const wrong = el("p", { class: "pg-wrong", role: "alert" });
  const send = el("button", { class: "button", "aria-keyshortcuts": "Control+Enter Meta+Enter" }, "Run");
  const stop = button("Stop", () => running?.stop(), { class: "button quiet", hidden: true, "aria-keyshortcuts": "Escape" });
  const keys = el("span", { class: "quiet pg-keys" }, el("kbd", {}, MAC ? "⌘ Enter" : "Ctrl Enter"));
  const actions = el("div", { class: "row pg-actions" }, send, stop, keys);
  const asked = el("form", { class: "card pg-input", noValidate: true, "aria-label": "Request" }, examples(), form.element, parameters.needed, wrong);
  if (!form.view) asked.append(actions);
  const optional = description.parameters.filter(({ required }) => !required);
  const settings = el(
    "details",
    { class: "card pg-settings", open: optional.length <= FEW_PARAMETERS || innerWidth > NARROW_PX, hidden: !optional.length },
    el("summary", {}, el("h2", {}, "Parameters")),
    parameters.optional,
  );

  // What is answered
  const status = el("span", { role: "status" });
  const elapsed = el("span", { "aria-hidden": "true" }); // which nobody wants to hear ten times a second
  const statusLine = el("p", { class: "pg-status quiet" }, status, elapsed);
  const area = el("div", { class: "pg-area" });
  const spoken = el("p", { class: "visually-hidden", role: "status" }); // the answer in a sentence
  const raw = el("pre", { class: "pg-raw", tabIndex: 0 });
  const measured = el("div", {});
  const json = el("div", { class: "code" }, raw);
  const answered = el("section", { class: "card pg-answer", "aria-label": "Answer" }, ...answerParts());
  const element = el("div", { class: `pg-bench ${form.view ? "pg-talk" : ""}` }, asked, settings, answered, call.element);
  idle();

  asked.addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
  document.addEventListener("keydown", (event) => {
    if (!element.isConnected || event.defaultPrevented) return;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      run();
    } else if (event.key === "Escape" && running) {
      event.preventDefault();
      running.stop();
    }
  });

  /** A form that shows the answers itself leaves what was measured, and the JSON. */
  function answerParts() {
    if (form.view) {
      measured.append(el("p", { class: "quiet" }, "Its times come here."));
      return [el("h2", {}, "Last answer"), statusLine, measured, el("details", {}, el("summary", {}, "JSON"), json)];
    }
    const panels = [
      { name: "Answer", panel: el("div", {}, area) },
      { name: "JSON", panel: json },
    ];
    const [list, ...shown] = tabs(panels, "Form of the answer");
    return [list, statusLine, spoken, ...shown, measured];
  }

  function examples() {
    const all = [
      { name: "Example", inputs: description.example, parameters: description.example_parameters },
      ...description.examples,
    ];
    const choose = (each) => () => {
      fill(each);
      wrong.textContent = "";
    };
    const buttons = all.map((each) => button(each.name, choose(each), { class: "button quiet small pg-example" }));
    return el("div", { class: "pg-examples", role: "group", "aria-label": "Examples" }, ...buttons);
  }

  function fill({ inputs, parameters: values }) {
    form.fill(inputs);
    parameters.fill(values ?? {});
    showCall();
  }

  function request() {
    const inputs = form.value();
    const given = parameters.value();
    const many = Array.isArray(inputs) && !inputs[0]?.role; // a list of messages is one input
    const beams = given.num_beams ?? (given.do_sample ? 1 : description.beams);
    const stream = description.streams && !many && !(beams > 1);
    return { pipeline: description.pipeline, inputs, parameters: given, stream };
  }

  function showCall() {
    clearTimeout(timer);
    try {
      call.show(request());
    } catch (error) {
      if (!(error instanceof Incomplete)) throw error; // until it is filled in, the last one stays
    }
  }

  function idle() {
    area.replaceChildren(el("p", { class: "quiet pg-idle" }, "The answer comes here. An example is filled in."));
  }

  async function run() {
    let wanted;
    try {
      wanted = request();
      wrong.textContent = "";
    } catch (error) {
      if (!(error instanceof Incomplete)) throw error;
      wrong.textContent = error.message;
      error.control?.focus();
      return;
    }
    running?.stop();
    call.show(wanted);
    const view = form.view?.(wanted) ?? (wanted.stream ? await streamView(wanted) : null);
    await new Run(wanted, view).finished;
  }

  /** One request, from the button to its answer. */
  class Run {
    constructor(wanted, view) {
      running = this;
      this.wanted = wanted;
      this.view = view;
      this.began = performance.now();
      this.stopped = false;
      this.call = null;
      this.bar = progressBar();
      this.says = "Sent";
      this.clock = setInterval(() => this.tick(), 100);
      working(true);
      measured.replaceChildren();
      raw.textContent = "";
      spoken.textContent = "";
      if (!form.view) area.replaceChildren(...(view?.element ? [view.element] : []));
      area.setAttribute("aria-busy", "true");
      this.tick();
      this.finished = this.follow();
    }

    say(sentence) {
      this.says = sentence;
      this.view?.waiting?.(sentence);
    }

    stop() {
      this.stopped = true;
      this.call?.cancel();
      this.wake?.();
    }

    tick() {
      if (running !== this) return;
      const ms = performance.now() - this.began;
      const said = ms < QUICK_MS ? "" : this.says;
      if (status.textContent !== said) status.textContent = said;
      elapsed.textContent = said && `, ${(ms / 1000).toFixed(1)} s`;
    }

    async follow() {
      try {
        const answer = await this.patiently();
        this.over();
        await this.answered(answer);
      } catch (error) {
        this.over();
        if (!(error instanceof AskError)) throw error;
        this.failed(error);
      } finally {
        if (running === this) {
          running = null;
          working(false);
          area.removeAttribute("aria-busy");
        }
      }
    }

    /** Asks again while the model is loading. */
    async patiently() {
      for (;;) {
        this.call = ask(this.wanted, {
          accepted: () => this.say("Waiting for the model"),
          started: (frame) => {
            this.say("In the model");
            this.view?.started?.(frame);
          },
          token: (frame) => {
            this.says = "Writing";
            this.view?.token?.(frame);
          },
        });
        try {
          return await this.call.done;
        } catch (error) {
          if (error.code !== "loading" || this.stopped) throw error;
          await this.loading(error);
          if (this.stopped) throw new AskError("cancelled", "Stopped.");
        }
      }
    }

    async loading(error) {
      this.say("The model is loading");
      if (!form.view && !this.bar.element.isConnected) area.prepend(this.bar.element);
      const seconds = Math.min(Math.max(error.retry_after ?? 1, 1), 5);
      for (let second = 0; second < seconds && !this.stopped; second++) {
        const found = await stateOf(description.root, description.pipeline);
        this.bar.show(found?.reason ? found : { state: "loading", reason: error.message });
        if (found?.reason) this.view?.waiting?.(`The model is loading: ${found.reason}`);
        if (found?.state === "ready") break;
        await new Promise((resolve) => {
          this.wake = resolve;
          setTimeout(resolve, 1000);
        });
      }
      this.bar.element.remove();
    }

    over() {
      clearInterval(this.clock);
      if (running === this) elapsed.textContent = "";
    }

    async answered(answer) {
      if (running !== this) {
        this.view?.done(answer); // another one was asked, and this one had begun to stream
        return;
      }
      status.textContent = `Answered in ${milliseconds(answer.times.round_trip_ms)}`;
      raw.textContent = shortened(answer.raw ? formatted(JSON.parse(answer.raw)) : `${answer.output.type}, ${answer.output.blob.size} bytes`);
      measured.replaceChildren(figures(answer));
      this.view?.done(answer);
      if (!this.view || this.view.passing) {
        area.replaceChildren(await rendered(answer.output, this.wanted));
        spoken.textContent = area.querySelector(".summary")?.textContent ?? "";
      }
      const seed = answer.generation?.seed;
      const seeded = seed !== undefined && description.parameters.some(({ name }) => name === "seed");
      call.show(seeded ? { ...this.wanted, parameters: { ...this.wanted.parameters, seed } } : this.wanted);
      if (form.view) return; // it keeps what was asked, too
      call.remember();
      show(answered);
    }

    failed(error) {
      this.view?.failed?.(error);
      if (running !== this) return;
      status.textContent = "";
      if (error.code === "unauthorized") {
        call.remember(); // the form is made again, and filled in from it
        unauthorized(error.message);
      }
      if (form.view) return;
      const shown = failure(error, () => run());
      if (this.view?.element) area.append(shown);
      else area.replaceChildren(shown);
      spoken.textContent = [...shown.querySelectorAll("h3, h3 + p")].map(({ textContent }) => textContent).join(": ");
      show(answered);
    }
  }

  async function rendered(output, { inputs, parameters: given }) {
    try {
      const { render } = await import("./answers/index.js");
      return await render(output, { description, inputs, parameters: given });
    } catch (error) {
      console.warn("This answer is shown as JSON:", error); // its script could not be loaded
      return el("pre", { class: "pg-raw" }, shortened(formatted(output)));
    }
  }

  /** A text as it is generated; `more` goes on where it ended. */
  async function streamView({ inputs }) {
    const { create } = await import("./answers/tokens.js");
    const more = (text) => {
      form.fill(text);
      run();
    };
    return create({ description, inputs, more });
  }

  function working(now) {
    stop.hidden = !now;
    element.classList.toggle("working", now);
  }

  addEventListener("hashchange", () => {
    const found = element.isConnected && fromLink();
    if (found) fill({ inputs: description.example, ...found });
  });
  fill({ inputs: description.example, parameters: description.example_parameters, ...fromLink() });
  return { element };
}

/** On a narrow screen the answer may be out of sight. */
function show(answer) {
  const { top } = answer.getBoundingClientRect();
  if (top < innerHeight * 0.8 && top > 0) return;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  answer.scrollIntoView({ behavior: still ? "instant" : "smooth", block: "start" });
}

const shortened = (text) =>
  text.length > SHOWN_LETTERS ? `${text.slice(0, SHOWN_LETTERS)}\n… ${text.length - SHOWN_LETTERS} more characters` : text;
