// python -m tests.clients embeddings.mjs
// Embeddings and rerank with openai 6.49.0 and cohere-ai 8.1.0.
import assert from "node:assert/strict";
import { CohereClientV2 } from "cohere-ai";
import OpenAI from "openai";

const url = process.argv.at(-1);
const [pipeline, ranking] = ["feature-extraction", "text-ranking"];
const texts = ["in town", "on the river"];

const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: "any", maxRetries: 0 });
const packed = await openai.embeddings.create({ model: pipeline, input: texts });
const floats = await openai.embeddings.create({ model: pipeline, input: texts, encoding_format: "float" });
floats.data.forEach(({ embedding }, index) =>
  embedding.forEach((value, at) => assert(Math.abs(value - packed.data[index].embedding[at]) < 1e-5)),
);
assert(packed.usage.prompt_tokens > 0);
await assert.rejects(openai.embeddings.create({ model: pipeline, input: [[1, 2]] }), { status: 400, param: "input" });

const cohere = new CohereClientV2({ environment: url, token: "any" });
const { results } = await cohere.rerank({ model: ranking, query: "where is the boat", documents: texts, topN: 1 });
assert.equal(results.length, 1);
