/**
 * Requests to the server: over one WebSocket, which is opened again when it was closed; media, which are large, over HTTP,
 * unless their answer streams.
 * Where no WebSocket can be opened but HTTP works, everything goes over HTTP.
 *
 * @typedef {{queue_ms: number, inference_ms: number, total_ms: number, round_trip_ms: number}} Times
 * @typedef {{output: any, times: Times, batch_size: number, request_id: string, model_version: string,
 *   generation: Record<string, any>|null, raw: string}} Answer `output` is JSON, or `{blob, type}` for media
 * @typedef {{pipeline: string, inputs: any, parameters: Record<string, any>, stream?: boolean}} Request
 * @typedef {{accepted?: (frame: any) => void, started?: (frame: any) => void, token?: (frame: any) => void}} Listeners
 */

import { AskError } from "./errors.js";
import { hasMedia, withBase64 } from "./media.js";

export { AskError };

const LONGEST_PAUSE_MS = 5000;
const AWAY = "The server cannot be reached. Asking again connects again.";
const LOST = "The connection to the server was lost before the answer came. Ask again.";

let where = { path: "/", socket: "/ws/" };
let key = "";
let changed = (/** @type {string} */ state) => {};
/** @type {WebSocket|null} */
let socket = null;
/** @type {Promise<WebSocket>|null} */
let opening = null;
let plainHttp = false;
let pause = 0;
let timer = 0;
let asked = 0;
/** @type {Map<string, {frame: (frame: any, text: string) => void, failed: (error: AskError) => void}>} */
const waiting = new Map();

/**
 * @param {{path: string, socket: string}} addresses paths of the pipeline
 * @param {(state: "open"|"away") => void} [onchange]
 */
export function configure(addresses, onchange = () => {}) {
  where = addresses;
  changed = onchange;
}

/** @param {string} value of the key with which everything is sent from now on */
export function useKey(value) {
  key = value;
  plainHttp = false;
  const old = socket;
  socket = null; // so that its end is no loss
  old?.close(1000);
}

/** @returns {Record<string, string>} */
export function authorization() {
  return key ? { authorization: `Bearer ${key}` } : {};
}

/** Open the socket before it is needed; nothing is said if that fails. */
export function connect() {
  opened().catch(() => {});
}

/**
 * @param {Request} request
 * @param {Listeners} [listeners]
 * @returns {{done: Promise<Answer>, cancel: () => void}} `done` fails with an `AskError`
 */
export function ask(request, listeners = {}) {
  const stop = new AbortController();
  const plain = hasMedia(request.inputs) && !request.stream;
  const done = plain ? overHttp(request, stop.signal) : overSocket(request, listeners, stop.signal);
  return { done, cancel: () => stop.abort() };
}

async function overSocket(request, listeners, signal) {
  let connection;
  try {
    connection = await opened();
  } catch (error) {
    if (plainHttp) return overHttp(request, signal);
    throw error;
  }
  const { pipeline, parameters, stream } = request;
  const inputs = await withBase64(request.inputs);
  if (signal.aborted) throw cancelled();
  const id = String(++asked);
  const sent = performance.now();
  let version = "";
  return new Promise((resolve, reject) => {
    const end = () => waiting.delete(id);
    waiting.set(id, {
      frame(frame, text) {
        if (frame.type === "accepted") {
          version = frame.model_version;
          listeners.accepted?.(frame);
        } else if (frame.type === "started") listeners.started?.(frame);
        else if (frame.type === "token") listeners.token?.(frame);
        else if (frame.type === "error") {
          end();
          reject(new AskError(frame.code, frame.message, frame.retry_after));
        } else if (frame.type === "result") {
          end();
          resolve(ofFrame(frame, text, version, performance.now() - sent));
        }
      },
      failed(error) {
        end();
        reject(error);
      },
    });
    signal.addEventListener("abort", () => send(connection, { type: "cancel", id }));
    send(connection, { type: "infer", id, pipeline, inputs, parameters, ...(stream ? { stream } : {}) });
  });
}

function send(connection, frame) {
  if (connection.readyState === WebSocket.OPEN) connection.send(JSON.stringify(frame));
}

/** @returns {Answer} */
function ofFrame(frame, text, version, roundTrip) {
  const { output, queue_ms, inference_ms, total_ms, batch_size, request_id } = frame;
  const generation =
    "finish_reason" in frame
      ? Object.fromEntries(
          ["finish_reason", "prompt_tokens", "generated_tokens", "seed", "first_token_ms", "token_ms"].map((name) => [
            name,
            frame[name],
          ]),
        )
      : null;
  const times = { queue_ms, inference_ms, total_ms, round_trip_ms: roundTrip };
  return { output: unpacked(output), times, batch_size, request_id, model_version: version, generation, raw: text };
}

/** An answer of media is base64 in a frame. */
function unpacked(output) {
  if (Array.isArray(output)) return output.map(unpacked);
  const type = output?.["content-type"];
  if (!type || typeof output.blob !== "string") return output;
  const bytes = Uint8Array.from(atob(output.blob), (character) => character.charCodeAt(0));
  return { blob: new Blob([bytes], { type }), type };
}

async function overHttp({ inputs, parameters }, signal) {
  const bare = inputs instanceof Blob && !Object.keys(parameters).length;
  const sent = performance.now();
  let reply;
  try {
    const body = bare ? inputs : JSON.stringify({ inputs: await withBase64(inputs), parameters });
    const type = (bare && inputs.type) || (bare ? "application/octet-stream" : "application/json");
    reply = await fetch(`${where.path}?format=pipeline`, {
      method: "POST",
      headers: { "content-type": type, ...authorization() },
      body,
      signal,
    });
    return await ofReply(reply, sent);
  } catch (error) {
    if (error instanceof AskError) throw error;
    if (signal.aborted) throw cancelled();
    throw new AskError(reply ? "lost" : "away", reply ? LOST : AWAY);
  }
}

/** @returns {Promise<Answer>} */
async function ofReply(reply, sent) {
  if (!reply.ok) throw await ofErrorReply(reply);
  const type = reply.headers.get("content-type") ?? "";
  const json = type.startsWith("application/json");
  const body = json ? await reply.text() : await reply.blob();
  const header = (/** @type {string} */ name) => reply.headers.get(name) ?? "";
  const times = {
    queue_ms: Number(header("x-queue-time")),
    inference_ms: Number(header("x-inference-time")),
    total_ms: Number(header("x-total-time")),
    round_trip_ms: performance.now() - sent,
  };
  return {
    output: json ? unpacked(JSON.parse(body)) : { blob: body, type },
    times,
    batch_size: Number(header("x-batch-size")),
    request_id: header("x-request-id"),
    model_version: header("x-model-version"),
    generation: null,
    raw: json ? body : "",
  };
}

async function ofErrorReply(reply) {
  const retryAfter = Number(reply.headers.get("retry-after")) || undefined;
  try {
    const { error, error_type } = await reply.json();
    return new AskError(error_type ?? "internal", error, retryAfter);
  } catch {
    return new AskError("internal", `The server answered ${reply.status} ${reply.statusText}.`, retryAfter);
  }
}

const cancelled = () => new AskError("cancelled", "Stopped.");

// The socket

/** @returns {Promise<WebSocket>} fails with an `AskError` */
function opened() {
  if (socket?.readyState === WebSocket.OPEN) return Promise.resolve(socket);
  opening ??= open().finally(() => (opening = null));
  return opening;
}

async function open() {
  clearTimeout(timer);
  const address = new URL(where.socket, location.href);
  address.protocol = address.protocol.replace("http", "ws");
  const made = new WebSocket(address, key ? ["inference.v1", `inference.key.${key}`] : ["inference.v1"]);
  const worked = await new Promise((resolve) => {
    made.addEventListener("open", () => resolve(true), { once: true });
    made.addEventListener("close", () => resolve(false), { once: true });
  });
  if (!worked) throw await why();
  socket = made;
  pause = 0;
  made.addEventListener("message", ({ data }) => receive(data));
  made.addEventListener("close", (event) => lost(made, event));
  changed("open");
  return made;
}

/** Browsers do not tell why a socket was not opened; HTTP does. */
async function why() {
  let reply;
  try {
    reply = await fetch(`${where.path.replace(/\/$/, "")}/info`, { headers: authorization() });
  } catch {
    later();
    return new AskError("away", AWAY);
  }
  if (!reply.ok) return ofErrorReply(reply);
  plainHttp = true;
  return new AskError("away", "No WebSocket can be opened here.");
}

function receive(text) {
  const frame = JSON.parse(text);
  waiting.get(frame.id)?.frame(frame, text);
}

function lost(closed, event) {
  if (socket !== closed) return;
  socket = null;
  const revoked = event.code === 1008 && event.reason;
  const error = revoked ? new AskError("unauthorized", event.reason) : new AskError("lost", LOST);
  for (const request of [...waiting.values()]) request.failed(error);
  if (!revoked) later(0);
}

/** Open it again, after a longer pause each time. */
function later(first = 500) {
  changed("away");
  clearTimeout(timer);
  timer = setTimeout(connect, pause || first);
  pause = Math.min(Math.max(2 * pause, 500), LONGEST_PAUSE_MS);
}
