// python -m tests.clients chats.mjs
// Chats and completions by openai 6.49.0 and @huggingface/inference 4.13.30; the model has a chat template.
import assert from "node:assert/strict";
import { InferenceClient } from "@huggingface/inference";
import OpenAI from "openai";

const [model, url] = ["chat", process.argv.at(-1)];
const messages = [{ role: "user", content: "once upon a time" }];
const how = { temperature: 0, max_tokens: 8 };

async function joined(chunks) {
  let text = "";
  for await (const { choices } of chunks) text += choices[0].delta?.content ?? choices[0].text ?? "";
  return text;
}

const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: "any", maxRetries: 0 });
const chat = openai.chat.completions;
const whole = await chat.create({ model, messages, n: 2, logprobs: true, top_logprobs: 1, ...how });
const text = whole.choices[1].message.content;
assert.equal(whole.usage.completion_tokens, 16);
assert.equal(await joined(await chat.create({ model, messages, stream: true, ...how })), text);
const stream = chat.stream({ model, messages, stream_options: { include_usage: true }, ...how });
assert.equal(await stream.finalContent(), text);
assert.equal((await stream.totalUsage()).completion_tokens, 8);
const prompt = "once";
const { choices } = await openai.completions.create({ model, prompt: [prompt, "upon"], logprobs: 1, ...how });
assert.equal(await joined(await openai.completions.create({ model, prompt, stream: true, ...how })), choices[0].text);
assert.equal((await openai.models.retrieve(model)).id, model);
await assert.rejects(chat.create({ model: "gpt-4o", messages }), { status: 404, code: "model_not_found" });
await assert.rejects(chat.create({ model, messages: [] }), { status: 400, param: "messages" });

const hub = new InferenceClient(undefined, { endpointUrl: `${url}/pipelines/${model}` });
assert.equal((await hub.chatCompletion({ messages, ...how })).choices[0].message.content, text);
assert.equal(await joined(hub.chatCompletionStream({ messages, ...how })), text);
const parameters = { max_new_tokens: 8, do_sample: false, return_full_text: false, repetition_penalty: 1 };
const { generated_text } = await hub.textGeneration({ inputs: prompt, parameters });
assert.equal(generated_text, choices[0].text);
assert.equal(await joined(hub.textGenerationStream({ inputs: prompt, parameters })), generated_text);
