// What a Node program does with Anthropic's SDK. `node anthropic.cjs <json>` prints what came of it as JSON.
// Address and key come from ANTHROPIC_BASE_URL and ANTHROPIC_API_KEY, as for every program of the SDK.
"use strict";

const { setTimeout: pause } = require("node:timers/promises");
const Anthropic = require("@anthropic-ai/sdk");

const client = new Anthropic({ maxRetries: 2, timeout: 60_000 });
const batches = client.messages.batches;

async function ended(id) {
  for (let looks = 0; looks < 1800; looks++) {
    const batch = await batches.retrieve(id);
    if (batch.processing_status === "ended") return batch;
    await pause(100);
  }
  throw new Error(`${id} did not end`);
}

async function results(id) {
  const found = [];
  for await (const result of await batches.results(id)) found.push(result);
  return found;
}

async function refusal(ask) {
  try {
    await ask();
    return null;
  } catch (error) {
    return { kind: error.constructor.name, status: error.status, type: error.type, requestID: error.requestID };
  }
}

async function main({ requests, slow }) {
  const created = await batches.create({ requests });
  const batch = await ended(created.id);
  const read = await results(created.id);
  const other = await batches.create({ requests: slow });
  const early = await refusal(() => batches.delete(other.id));
  const cancelled = await batches.cancel(other.id);
  await ended(other.id);
  const listed = [];
  for await (const each of batches.list({ limit: 1 })) listed.push(each.id);
  const deleted = await batches.delete(created.id);
  const gone = await refusal(() => batches.retrieve(created.id));
  const wrong = await refusal(() => batches.create({ requests: [{ custom_id: "a b", params: requests[0].params }] }));
  const rest = await results(other.id);
  return { created, batch, read, other, cancelled, early, listed, deleted, gone, wrong, rest };
}

main(JSON.parse(process.argv[2])).then(
  (said) => process.stdout.write(JSON.stringify(said)),
  (error) => {
    console.error(error);
    process.exitCode = 1;
  },
);
