#!/usr/bin/env node
// What the official OpenAI client does with Synod, end to end.
//
// usage: openai_client.mjs BASE_URL MODEL [EMBEDDING_MODEL]
// Needs openai (npm install openai). BASE_URL as `synod up` prints it; a key goes into OPENAI_API_KEY, where there are any.
import assert from "node:assert/strict";
import OpenAI from "openai";

const [baseURL, model, embeddingModel] = process.argv.slice(2);
if (!model) {
  console.error("usage: openai_client.mjs BASE_URL MODEL [EMBEDDING_MODEL]");
  process.exit(2);
}
const client = new OpenAI({ baseURL, apiKey: process.env.OPENAI_API_KEY ?? "none" });
const ask = (content) => [{ role: "user", content }];
const weather = {
  type: "function",
  function: {
    name: "get_weather",
    description: "The current weather of a city",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
};
const person = {
  type: "object",
  properties: { name: { type: "string", maxLength: 40 }, age: { type: "integer", minimum: 0, maximum: 150 } },
  required: ["name", "age"],
  additionalProperties: false,
};

const steps = {
  async models() {
    const known = [];
    for await (const one of client.models.list()) known.push(one.id);
    assert(known.includes(model), `${model} is not among ${known}`);
    return known.length;
  },
  async chat() {
    const answer = await client.chat.completions.create({ model, messages: ask("Name a colour."), max_tokens: 12, seed: 1 });
    assert(answer.choices[0].message.content && answer.usage.total_tokens > 0);
    return answer.choices[0].message.content;
  },
  async stream() {
    const options = { model, messages: ask("Count to five."), max_tokens: 24, stream: true };
    const chunks = await client.chat.completions.create({ ...options, stream_options: { include_usage: true } });
    let [text, usage] = ["", null];
    for await (const chunk of chunks) {
      text += chunk.choices[0]?.delta?.content ?? "";
      usage = chunk.usage ?? usage;
    }
    assert(text && usage.completion_tokens > 0);
    return text;
  },
  async tools() {
    const options = { model, messages: ask("What is the weather in Paris?"), tools: [weather], tool_choice: "required" };
    const answer = await client.chat.completions.create({ ...options, max_tokens: 200, temperature: 0 });
    const [call] = answer.choices[0].message.tool_calls;
    assert.equal(answer.choices[0].finish_reason, "tool_calls");
    assert.equal(typeof JSON.parse(call.function.arguments).city, "string");
    return `${call.function.name}(${call.function.arguments})`;
  },
  async json_schema() {
    const response_format = { type: "json_schema", json_schema: { name: "person", schema: person, strict: true } };
    const options = { model, messages: ask("Invent a person."), max_tokens: 100, response_format };
    const answer = JSON.parse((await client.chat.completions.create(options)).choices[0].message.content);
    assert.deepEqual(Object.keys(answer), ["name", "age"]);
    return JSON.stringify(answer);
  },
  async responses() {
    const events = await client.responses.create({ model, input: "Name a fruit.", max_output_tokens: 12, stream: true });
    const kinds = [];
    for await (const event of events) kinds.push(event.type);
    assert.equal(kinds[0], "response.created");
    assert.match(kinds.at(-1), /^response\.(completed|incomplete)$/);
    return `${kinds.length} events`;
  },
  async embeddings() {
    if (!embeddingModel) return "not asked for";
    const answer = await client.embeddings.create({ model: embeddingModel, input: ["a cat", "a kitten", "a tax form"] });
    const [cat, kitten, form] = answer.data.map((one) => one.embedding);
    const like = (a, b) => a.reduce((sum, x, at) => sum + x * b[at], 0);
    assert(like(cat, kitten) > like(cat, form), "a kitten is more of a cat than a tax form is");
    return `${cat.length} dimensions`;
  },
  async errors() {
    const failed = async (options) => client.chat.completions.create({ model, messages: ask("?"), ...options }).then(
      () => assert.fail(`${JSON.stringify(options)} was taken`),
      (error) => error,
    );
    const missing = await failed({ model: "no-such-model" });
    assert(missing instanceof OpenAI.NotFoundError && missing.code === "model_not_found" && missing.requestID);
    const wrong = await failed({ temperature: 3 });
    assert(wrong instanceof OpenAI.BadRequestError && wrong.param === "temperature");
    return "named, with their fields";
  },
  async cancel() {
    const options = { model, messages: ask("Tell a long story."), max_tokens: 2000, stream: true };
    const chunks = await client.chat.completions.create(options);
    for await (const chunk of chunks) if (chunk.choices[0]?.delta?.content) break;
    chunks.controller.abort(); // the engine stops there
    return "left in the middle";
  },
};

for (const [name, step] of Object.entries(steps)) console.log(`${name}: ${await step()}`);
