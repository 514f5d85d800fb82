// Drives the official SDKs for JavaScript, unmodified, through the gateway.
//
// Usage: node sdks.mjs MODULES GATEWAY STUB KEY. Says one line for each check that fails; exit
// code 1 if any did. `MODULES` is where the SDKs are installed.

import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { isDeepStrictEqual } from 'node:util';

const [modules, gateway, stub, apiKey] = process.argv.slice(2);
const require = createRequire(`${resolve(modules)}/`);
const OpenAI = require('openai');
const Anthropic = require('@anthropic-ai/sdk');
const version = (name) =>
  JSON.parse(readFileSync(`${modules}/${name}/package.json`, 'utf8')).version;

const TEXT = 'The parcel left the depot today.';
const messages = [{ role: 'user', content: 'Where is it?' }];
const input = 'Where is it?';
const parameters = { type: 'object', properties: { id: { type: 'string' } } };
const url = 'https://images.example/cat.png';

const openai = new OpenAI({ baseURL: `${gateway}/agents/js-openai/openai/v1`, apiKey });
const claude = new Anthropic({ baseURL: `${gateway}/agents/js-anthropic/anthropic`, apiKey });
let passed = 0;
let failed = 0;

function note(name, wrong) {
  if (wrong) console.log(`node ${name}: ${wrong}`);
  if (wrong) failed += 1;
  else passed += 1;
}

async function gives(name, what, expected) {
  try {
    const got = await what();
    const same = isDeepStrictEqual(got, expected);
    note(name, same ? '' : `got ${JSON.stringify(got)}, expected ${JSON.stringify(expected)}`);
  } catch (error) {
    note(name, `raised ${error}`);
  }
}

async function raises(name, what) {
  try {
    note(name, `it ended as if whole: ${JSON.stringify(await what())}`);
  } catch {
    note(name, '');
  }
}

const seen = async (model) => (await (await fetch(`${stub}/seen`)).json())[model] ?? 0;

const plain = {
  chat: async (model) =>
    (await openai.chat.completions.create({ model, messages })).choices[0].message.content,
  responses: async (model) => (await openai.responses.create({ model, input })).output_text,
  messages: async (model) =>
    (await claude.messages.create({ model, max_tokens: 99, messages })).content[0].text,
};
const stream = {
  chat: async (model) => {
    let text = '';
    for await (const chunk of await openai.chat.completions.create({ model, messages, stream: true }))
      text += chunk.choices[0]?.delta.content ?? '';
    return text;
  },
  responses: async (model) => {
    let text = '';
    for await (const event of await openai.responses.create({ model, input, stream: true }))
      if (event.type === 'response.output_text.delta') text += event.delta;
    return text;
  },
  messages: async (model) => {
    let text = '';
    for await (const event of claude.messages.stream({ model, max_tokens: 99, messages }))
      if (event.type === 'content_block_delta') text += event.delta.text;
    return text;
  },
};

for (const wire of Object.keys(plain)) {
  await gives(`${wire} plain`, () => plain[wire]('plain'), TEXT);
  await gives(`${wire} stream`, () => stream[wire]('plain'), TEXT);
}

// Calls of two tools at once.

const names = ['get_order', 'get_stock'];
const ASKED = [['get_order', { id: 'W1' }], ['get_stock', { id: 'S2' }]];
const tools = names.map((name) => ({ type: 'function', function: { name, parameters } }));
const flat = names.map((name) => ({ type: 'function', name, parameters, strict: false }));
const claudes = names.map((name) => ({ name, input_schema: parameters }));
const ofChat = (message) =>
  message.tool_calls.map((call) => [call.function.name, JSON.parse(call.function.arguments)]);
const ofOutput = (output) => output.map((call) => [call.name, JSON.parse(call.arguments)]);
const ofContent = (content) => content.map((block) => [block.name, block.input]);
const model = 'calls';

await gives('chat calls', async () =>
  ofChat((await openai.chat.completions.create({ model, messages, tools })).choices[0].message), ASKED);
await gives('chat calls, streamed', async () =>
  ofChat(await openai.chat.completions.stream({ model, messages, tools }).finalMessage()), ASKED);
await gives('responses calls', async () =>
  ofOutput((await openai.responses.create({ model, input, tools: flat })).output), ASKED);
await gives('responses calls, streamed', async () =>
  ofOutput((await openai.responses.stream({ model, input, tools: flat }).finalResponse()).output), ASKED);
await gives('messages calls', async () =>
  ofContent((await claude.messages.create({ model, max_tokens: 99, messages, tools: claudes })).content), ASKED);
await gives('messages calls, streamed', async () =>
  ofContent((await claude.messages.stream({ model, max_tokens: 99, messages, tools: claudes }).finalMessage()).content), ASKED);

// An image by reference, and an answer with a structure.

const withImage = (part) => [{ role: 'user', content: [part] }];
await gives('chat image', async () => (await openai.chat.completions.create({
  model: 'image', messages: withImage({ type: 'image_url', image_url: { url } }),
})).choices[0].message.content, '1 image');
await gives('responses image', async () => (await openai.responses.create({
  model: 'image', input: withImage({ type: 'input_image', detail: 'auto', image_url: url }),
})).output_text, '1 image');
await gives('messages image', async () => (await claude.messages.create({
  model: 'image', max_tokens: 99, messages: withImage({ type: 'image', source: { type: 'url', url } }),
})).content[0].text, '1 image');
const schema = { type: 'object', properties: { city: { type: 'string' } } };
await gives('chat structured', async () => (await openai.chat.completions.parse({
  model: 'structured', messages,
  response_format: { type: 'json_schema', json_schema: { name: 'city', strict: true, schema } },
})).choices[0].message.parsed, { city: 'Paris', people: 2 });

// Errors: each raises, and the upstream is asked once, although these clients try three times.

for (const status of [400, 401, 404, 429, 500, 503, 529]) {
  const failing = `status-${status}`;
  for (const wire of Object.keys(plain)) {
    for (const [kind, ask] of [['plain', plain[wire]], ['stream', stream[wire]]]) {
      const before = await seen(failing);
      await raises(`${wire} ${kind} ${status}`, () => ask(failing));
      await gives(`${wire} ${kind} ${status}: requests`, async () => (await seen(failing)) - before, 1);
    }
  }
}
for (const wire of Object.keys(plain)) {
  for (const fault of ['error-200', 'cut-plain'])
    await raises(`${wire} plain ${fault}`, () => plain[wire](fault));
  await raises(`${wire} stream error-200`, () => stream[wire]('error-200'));
}

// Faults in the middle of a stream: no client takes what came for everything.

for (const fault of ['eof', 'cut', 'half', 'mark', 'bare-error', 'error', 'malformed'])
  for (const wire of Object.keys(stream))
    await raises(`${wire} stream ${fault}`, () => stream[wire](fault));

console.log(`${passed} checks passed, ${failed} failed: openai ${version('openai')}, ` +
  `anthropic ${version('@anthropic-ai/sdk')}`);
process.exit(failed > 0 ? 1 : 0);
