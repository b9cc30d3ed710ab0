// python -m tests.clients huggingface.mjs
// Each method of @huggingface/inference 4.13.30 that has a task at POST /. The client checks the shapes of answers.
import { InferenceClient } from "@huggingface/inference";

const server = process.argv.at(-1);
const client = (pipeline) => new InferenceClient(undefined, { endpointUrl: `${server}/pipelines/${pipeline}` });

function bitmap(side) {
  const data = Buffer.alloc(54 + 3 * side * side, 99);
  data.fill(0, 0, 54).write("BM");
  for (const [place, value] of [[2, data.length], [10, 54], [14, 40], [18, side], [22, side], [26, 1], [28, 24]])
    data.writeUInt16LE(value, place);
  return data;
}

function recording(samples) {
  const data = Buffer.alloc(44 + 2 * samples);
  data.write("RIFF");
  data.write("WAVEfmt ", 8);
  data.write("data", 36);
  for (const [place, value] of [[4, data.length - 8], [16, 16], [24, 16000], [28, 32000], [40, 2 * samples]])
    data.writeUInt32LE(value, place);
  for (const [place, value] of [[20, 1], [22, 1], [32, 2], [34, 16]]) data.writeUInt16LE(value, place);
  return data;
}

const image = new Blob([bitmap(32)], { type: "image/bmp" });
const audio = new Blob([recording(16000)], { type: "audio/wav" });
const buffer = await image.arrayBuffer();
const words = [["Total", [0, 0, 100, 50]], ["12", [110, 0, 200, 50]]];
const list = (a) => Array.isArray(a) && a.length > 0;

const cases = [
  ["fill-mask", "fillMask", { inputs: "once upon a [MASK]" }, (a) => list(a) && a[0].token_str],
  ["fill-mask", "fillMask", { inputs: "once upon a [MASK]", parameters: { top_k: 2 } }, (a) => a.length == 2],
  ["text-classification", "textClassification", { inputs: "a text" }, (a) => list(a) && a[0].label],
  ["text-classification", "textClassification", { inputs: "a text", parameters: { top_k: 2, function_to_apply: "sigmoid" } }, (a) => a.length == 2],
  ["token-classification", "tokenClassification", { inputs: "the old river runs" }, (a) => list(a) && a[0].entity_group],
  ["token-classification", "tokenClassification", { inputs: "the old river runs", parameters: { aggregation_strategy: "max" } }, list],
  ["feature-extraction", "featureExtraction", { inputs: "a boat" }, (a) => typeof a[0] == "number"],
  ["feature-extraction", "featureExtraction", { inputs: ["a boat", "on a long river"], normalize: true, dimensions: 4, encoding_format: "base64" }, (a) => a.length == 2 && a[0].length == 4],
  ["sentence-similarity", "sentenceSimilarity", { inputs: { source_sentence: "a", sentences: ["b", "c"] } }, (a) => a.length == 2],
  ["zero-shot-classification", "zeroShotClassification", { inputs: "a boat", parameters: { candidate_labels: ["x", "y"] } }, (a) => a.length == 2],
  ["zero-shot-classification", "zeroShotClassification", { inputs: ["a boat"], parameters: { candidate_labels: ["x", "y"], multi_label: true } }, (a) => a.length == 2 && a[0].label],
  ["question-answering", "questionAnswering", { inputs: { question: "who runs", context: "the old river runs" } }, (a) => typeof a.answer == "string"],
  ["question-answering", "questionAnswering", { inputs: { question: "who runs", context: "the old river runs" }, parameters: { top_k: 2 } }, (a) => typeof a.answer == "string"],
  ["table-question-answering", "tableQuestionAnswering", { inputs: { query: "what", table: { a: ["1", "2"] } } }, (a) => a.aggregator == "NONE"],
  ["table-question-answering", "tableQuestionAnswering", { inputs: { query: "what", table: { a: ["1", "2"] } }, parameters: { padding: "longest", sequential: true, truncation: true } }, (a) => a.answer == "1"],
  ["summarization", "summarization", { inputs: "once upon a time" }, (a) => typeof a.summary_text == "string"],
  ["summarization", "summarization", { inputs: "once upon a time", parameters: { max_length: 9, min_length: 2, temperature: 0.5 } }, (a) => typeof a.summary_text == "string"],
  ["translation", "translation", { inputs: "once upon a time" }, (a) => typeof a.translation_text == "string"],
  ["translation", "translation", { inputs: ["once upon", "a time"] }, (a) => a.length == 2 && typeof a[1].translation_text == "string"],
  ["image-classification", "imageClassification", { data: image }, (a) => list(a) && a[0].label],
  ["image-classification", "imageClassification", { inputs: image, parameters: { top_k: 1 } }, list],
  ["image-classification", "imageClassification", { data: buffer }, list],
  ["object-detection", "objectDetection", { data: image }, Array.isArray],
  ["image-segmentation", "imageSegmentation", { inputs: image }, (a) => list(a) && a[0].mask],
  ["image-segmentation", "imageSegmentation", { inputs: image, parameters: { threshold: 0.2 } }, list],
  ["image-to-text", "imageToText", { data: image }, (a) => typeof a.generated_text == "string"],
  ["zero-shot-image-classification", "zeroShotImageClassification", { inputs: { image }, parameters: { candidate_labels: ["x", "y"] } }, (a) => a.length == 2],
  ["visual-question-answering", "visualQuestionAnswering", { inputs: { image, question: "what" } }, (a) => typeof a.answer == "string"],
  ["visual-question-answering", "visualQuestionAnswering", { inputs: { image, question: "what" }, parameters: { top_k: 2 } }, (a) => typeof a.answer == "string"],
  ["document-question-answering", "documentQuestionAnswering", { inputs: { image, question: "what" }, parameters: { word_boxes: words, lang: "en", max_question_len: 8 } }, (a) => typeof a.answer == "string"],
  ["automatic-speech-recognition", "automaticSpeechRecognition", { data: audio }, (a) => typeof a.text == "string"],
  ["automatic-speech-recognition", "automaticSpeechRecognition", { inputs: audio }, (a) => typeof a.text == "string"],
  ["audio-classification", "audioClassification", { data: audio }, (a) => list(a) && a[0].label],
  ["text-to-speech", "textToSpeech", { inputs: "a boat" }, (a) => a instanceof Blob && a.size > 44 && a.type == "audio/wav"],
  ["text-to-speech", "textToSpeech", { inputs: "a boat", parameters: { seed: 3 } }, (a) => a instanceof Blob],
];

let failed = 0;
async function check(name, work) {
  try {
    await work();
  } catch (error) {
    failed++;
    console.error(`${name}: ${error}`);
  }
}

for (const [pipeline, method, given, right] of cases)
  await check(`${method} ${JSON.stringify(given.parameters ?? {})}`, async () => {
    const answer = await client(pipeline)[method](given);
    if (!right(answer)) throw new Error(JSON.stringify(answer).slice(0, 300));
  });
await check("an error is told", async () => {
  const told = await client("fill-mask").fillMask({ inputs: "no mask" }).catch(String);
  if (!told.includes("The input has no [MASK]")) throw new Error(told);
});
console.log(`@huggingface/inference: ${cases.length + 1} calls, ${failed} failed`);
process.exit(failed ? 1 : 0);
