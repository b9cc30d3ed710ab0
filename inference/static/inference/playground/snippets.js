/**
 * The same call from elsewhere: as commands and as code that can be pasted and run.
 *
 * Media are files there: a `Blob` in the inputs, or base64 as in an example, is read from one.
 */

import { formatted } from "./json_text.js";

const LONG_BASE64 = /^[A-Za-z0-9+/]{100,}={0,2}$/;
const MARK = "\u0000";
const KEY = "inf_…";
const FILES = { image: "photo.jpg", audio: "speech.wav" };
const TYPES = { wav: "audio/wav", flac: "audio/flac", mp3: "audio/mpeg", ogg: "audio/ogg", png: "image/png", gif: "image/gif", webp: "image/webp" };

/**
 * @param {object} call
 * @param {string} call.address origin of the server, such as `http://localhost:8000`
 * @param {string} call.path of the pipeline, below any prefix
 * @param {string} call.socket path of its WebSocket
 * @param {string} [call.pipeline]
 * @param {any} call.inputs
 * @param {Record<string, any>} [call.parameters]
 * @param {boolean} [call.stream]
 * @param {boolean} [call.key_needed]
 * @param {string} [call.file] name of the file in the place of media
 * @param {string} [call.kind] of media: `image` or `audio`
 * @param {boolean} [call.media_out] the answer is a recording
 * @returns {{name: string, code: string}[]}
 */
export function snippets(call) {
  const file = call.file || FILES[call.kind] || FILES.image;
  const query = "?format=pipeline";
  const bare = isMedia(call.inputs) && !Object.keys(call.parameters ?? {}).length;
  const made = {
    ...call,
    file,
    url: `${call.address}${call.path}${query}`,
    socketUrl: `${call.address.replace(/^http/, "ws")}${call.socket}`,
    bare,
    stream: call.stream && !bare, // of HTTP: a file alone asks for no stream
    body: {
      inputs: marked(call.inputs),
      ...(Object.keys(call.parameters ?? {}).length ? { parameters: call.parameters } : {}),
      ...(call.stream ? { stream: true } : {}),
    },
  };
  made.media = JSON.stringify(made.body).includes(JSON.stringify(MARK));
  return [
    { name: "curl", code: curl(made) },
    { name: "Python", code: python(made) },
    { name: "JavaScript", code: javascript(made) },
    { name: "WebSocket", code: websocket(made) },
  ];
}

const isMedia = (value) => value instanceof Blob || (typeof value === "string" && LONG_BASE64.test(value));

function marked(value) {
  if (isMedia(value)) return MARK;
  if (Array.isArray(value)) return value.map(marked);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, marked(each)]));
}

/** JSON with an expression in the place of media. */
const withFiles = (text, expression) => text.replaceAll(JSON.stringify(MARK), () => expression);

const mediaType = (file) => TYPES[file.split(".").pop().toLowerCase()] ?? "image/jpeg";

function curl({ url, body, bare, file, media, stream, key_needed, media_out }) {
  const lines = [`curl ${stream ? "-N " : ""}'${url}'`];
  if (key_needed) lines.push(`-H 'Authorization: Bearer ${KEY}'`);
  if (media_out) lines.push("-o answer.wav");
  if (bare) lines.push(`-H 'Content-Type: ${mediaType(file)}'`, `--data-binary @${file}`);
  else {
    lines.push("-H 'Content-Type: application/json'");
    const json = formatted(body).replaceAll("'", "'\\''");
    if (media) lines.push(`-d @- <<END\n${withFiles(escapedForShell(formatted(body)), `"$(base64 < ${file} | tr -d '\\n')"`)}\nEND`);
    else lines.push(`-d '${json}'`);
  }
  return lines.join(" \\\n  ");
}

/** Within a here-document, in which only the command that reads the file is to run. */
const escapedForShell = (json) => json.replace(/[\\$`]/g, "\\$&").replaceAll(`"\\\\u0000"`, JSON.stringify(MARK));

function python({ url, body, bare, file, media, stream, key_needed, media_out }) {
  const type = bare ? mediaType(file) : "application/json";
  const headers = [`"Content-Type": "${type}"`, ...(key_needed ? [`"Authorization": "Bearer ${KEY}"`] : [])];
  const imports = [...(media && !bare ? ["base64"] : []), ...(bare && media_out ? [] : ["json"]), "urllib.request"];
  const lines = [...imports.map((name) => `import ${name}`), ""];
  if (bare) lines.push(`data = open("${file}", "rb").read()`);
  else {
    if (media) lines.push(`media = base64.b64encode(open("${file}", "rb").read()).decode()`);
    lines.push(`body = ${withFiles(literal(body), "media")}`, "data = json.dumps(body).encode()");
  }
  lines.push(`headers = {${headers.join(", ")}}`, `request = urllib.request.Request("${url}", data, headers)`);
  lines.push("with urllib.request.urlopen(request) as reply:");
  if (stream) {
    lines.push("    for line in reply:", '        if line.startswith(b"data:"):');
    lines.push('            print(json.loads(line[5:])["token"]["text"], end="", flush=True)');
  } else if (media_out) lines.push('    open("answer.wav", "wb").write(reply.read())');
  else lines.push("    print(json.load(reply))");
  return lines.join("\n");
}

/** A value as Python writes it. */
function literal(value, indent = "") {
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (typeof value !== "object") return JSON.stringify(value);
  const inner = `${indent}    `;
  const [open, close, parts] = Array.isArray(value)
    ? ["[", "]", value.map((each) => literal(each, inner))]
    : ["{", "}", Object.entries(value).map(([name, each]) => `${JSON.stringify(name)}: ${literal(each, inner)}`)];
  const flat = `${open}${parts.join(", ")}${close}`;
  if (flat.length + indent.length <= 88 && !flat.includes("\n")) return flat;
  return `${open}\n${parts.map((part) => `${inner}${part},\n`).join("")}${indent}${close}`;
}

function javascript({ url, body, bare, file, media, stream, key_needed, media_out }) {
  const lines = [];
  if (media) lines.push(`const file = document.querySelector("input[type=file]").files[0]; // ${file}`);
  if (media && !bare) {
    lines.push("const bytes = new Uint8Array(await file.arrayBuffer());");
    lines.push("const media = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(\"\"));");
  }
  const headers = [`"content-type": ${bare ? "file.type" : '"application/json"'}`];
  if (key_needed) headers.push(`authorization: "Bearer ${KEY}"`);
  lines.push(`const reply = await fetch("${url}", {`, '  method: "POST",', `  headers: { ${headers.join(", ")} },`);
  lines.push(bare ? "  body: file," : `  body: JSON.stringify(${withFiles(JSON.stringify(body, null, 2), "media").replaceAll("\n", "\n  ")}),`);
  lines.push("});");
  if (stream) {
    lines.push("const text = reply.body.pipeThrough(new TextDecoderStream());");
    lines.push('let rest = "";', "for await (const part of text) {", '  const lines = (rest + part).split("\\n");', "  rest = lines.pop();");
    lines.push('  for (const line of lines.filter((each) => each.startsWith("data:"))) {', "    console.log(JSON.parse(line.slice(5)).token.text);", "  }", "}");
  } else if (media_out) lines.push("new Audio(URL.createObjectURL(await reply.blob())).play();");
  else lines.push("console.log(await reply.json());");
  return lines.join("\n");
}

function websocket({ socketUrl, body, media, file, key_needed }) {
  const protocols = key_needed ? `, ["inference.v1", "inference.key.${KEY}"]` : "";
  const frame = withFiles(JSON.stringify({ type: "infer", id: "1", ...body }, null, 2), "media").replaceAll("\n", "\n  ");
  const lines = media ? [`// media: ${file} in base64`] : [];
  lines.push(`const socket = new WebSocket("${socketUrl}"${protocols});`);
  lines.push("socket.onmessage = ({ data }) => console.log(JSON.parse(data));");
  lines.push(`socket.onopen = () => socket.send(JSON.stringify(${frame}));`);
  return lines.join("\n");
}
