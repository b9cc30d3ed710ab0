// python -m tests.clients audio.mjs
// Recordings by openai 6.49.0; the model is a Whisper that knows several languages.
import assert from "node:assert/strict";
import OpenAI, { toFile } from "openai";

const [model, speaking, url] = ["automatic-speech-recognition", "text-to-speech", process.argv.at(-1)];
const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: "any", maxRetries: 0 });
const { transcriptions, translations, speech } = openai.audio;

const said = { model: speaking, voice: "alloy", input: "a small boat on a river, and a long bridge" };
const recording = Buffer.from(await (await speech.create({ ...said, response_format: "wav" })).arrayBuffer());
assert.equal(recording.toString("latin1", 0, 4), "RIFF");
const flac = await speech.create({ ...said, response_format: "flac" });
assert.equal(flac.headers.get("content-type"), "audio/flac");
await assert.rejects(speech.create({ ...said, response_format: "mp3" }), { status: 400, param: "response_format" });

const file = await toFile(recording, "boat.wav");
const { text } = await transcriptions.create({ model, file });
assert.ok(text);
assert.equal(await transcriptions.create({ model, file, response_format: "text" }), text);
const times = { response_format: "verbose_json", timestamp_granularities: ["word", "segment"] };
const verbose = await transcriptions.create({ model, file, ...times });
assert.ok(verbose.words.length && verbose.segments.length && verbose.duration > 0);
assert.match(await transcriptions.create({ model, file, response_format: "srt" }), /-->/);
let streamed = "";
for await (const event of await transcriptions.create({ model, file, stream: true })) {
  if (event.type === "transcript.text.delta") streamed += event.delta;
  else assert.equal(event.text, text);
}
assert.equal(streamed, text);
assert.ok((await translations.create({ model, file })).text);
await assert.rejects(transcriptions.create({ model, file, prompt: "boats" }), { status: 400, param: "prompt" });
