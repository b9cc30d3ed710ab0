// python -m tests.clients responses.mjs
// Responses by openai 6.49.0, also over the WebSocket (with ws 8); the model has a chat template.
import assert from "node:assert/strict";
import OpenAI from "openai";
import { ResponsesWS } from "openai/resources/responses/ws";

const [model, url] = ["chat", process.argv.at(-1)];
const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: "any", maxRetries: 0 });
const how = { model, temperature: 0, max_output_tokens: 8 };
const input = "once upon a time";

const whole = await openai.responses.create({ input, instructions: "be short", ...how });
assert.equal(whole.status, "incomplete");
assert.equal(whole.usage.output_tokens, 8);
assert.ok(whole.output_text);
const items = [{ role: "system", content: "be short" }, { role: "user", content: [{ type: "input_text", text: input }] }];
let text = "";
for await (const event of await openai.responses.create({ input: items, stream: true, ...how }))
  if (event.type === "response.output_text.delta") text += event.delta;
assert.equal(text, whole.output_text);
const streamed = await openai.responses.stream({ input: items, ...how }).finalResponse();
assert.equal(streamed.output[0].content[0].text, text);
await assert.rejects(openai.responses.create({ input: [], ...how }), { status: 400, param: "input" });
await assert.rejects(openai.responses.create({ input, ...how, model: "gpt-4o" }), { status: 404 });

const socket = new ResponsesWS(openai);
const ends = ["response.completed", "response.incomplete"];
function turn(fields) {
  socket.send({ type: "response.create", ...how, ...fields });
  return new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.on("event", function take(event) {
      if (ends.includes(event.type)) {
        socket.off("event", take);
        socket.off("error", reject);
        resolve(event.response);
      }
    });
  });
}
const first = await turn({ input, instructions: "be short" });
assert.equal(first.output[0].content[0].text, text);
const second = await turn({ input: "and then?", previous_response_id: first.id });
assert.equal(second.previous_response_id, first.id);
const chat = [items[1], ...first.output, { role: "user", content: "and then?" }];
const expected = await openai.responses.create({ input: chat, ...how });
assert.equal(second.output[0].content[0].text, expected.output_text);
await assert.rejects(turn({ input, previous_response_id: "resp_1" }), /There is no response 'resp_1' here/);
socket.close();
