// What a Node program does with the official SDK. `node client.cjs <scenario> <json>` prints what came of it as JSON.
// Address and key come from OPENAI_BASE_URL and OPENAI_API_KEY, as for every program of the SDK.
"use strict";

const { createHash } = require("node:crypto");
const { createReadStream } = require("node:fs");
const { setTimeout: pause } = require("node:timers/promises");
const OpenAI = require("openai");

const TERMINAL = new Set(["completed", "failed", "expired", "cancelled"]);
const client = new OpenAI({ maxRetries: 2, timeout: 60_000 });

const scenarios = {
  /** Upload, create, poll, download, delete: the way of OpenAI's guide. */
  async mainJob({ path, endpoint, metadata }) {
    const file = await client.files.create({ file: createReadStream(path), purpose: "batch" });
    const created = await client.batches.create({
      input_file_id: file.id,
      endpoint,
      completion_window: "24h",
      metadata,
    });
    const batch = await ended(created.id);
    const [output, errors] = [await text(batch.output_file_id), await text(batch.error_file_id)];
    const deleted = await client.files.delete(file.id);
    return { file, created, batch, output, errors, deleted };
  },

  /** Files and batches page by page, by the SDK's own iterators. */
  async lists({ path, count }) {
    const files = [];
    for (let made = 0; made < count; made++) {
      files.push(await client.files.create({ file: createReadStream(path), purpose: "batch" }));
    }
    const batches = [];
    for (const file of files) {
      const wish = { input_file_id: file.id, endpoint: "/v1/chat/completions", completion_window: "24h" };
      batches.push((await client.batches.create(wish)).id);
    }
    const listed = { files: [], batches: [], ascending: [] };
    for await (const file of client.files.list({ limit: 2 })) listed.files.push(file.id);
    for await (const file of client.files.list({ order: "asc", purpose: "batch" })) listed.ascending.push(file.id);
    for await (const batch of client.batches.list({ limit: 2 })) listed.batches.push(batch.id);
    const first = await client.batches.list({ limit: 1 });
    await Promise.all(batches.map(ended));
    return { files: files.map((file) => file.id), batches, listed, hasMore: first.hasNextPage() };
  },

  /** Cancels a batch that is at work, and waits for what is left of it. `settings` is Batchyard's own. */
  async cancel({ path, settings }) {
    const file = await client.files.create({ file: createReadStream(path), purpose: "batch" });
    const wish = { input_file_id: file.id, endpoint: "/v1/chat/completions", completion_window: "24h", settings };
    const { id } = await client.batches.create(wish);
    await reaches(id, new Set(["in_progress"]));
    const cancelled = await client.batches.cancel(id);
    const batch = await ended(id);
    return { cancelled, batch, output: await text(batch.output_file_id), errors: await text(batch.error_file_id) };
  },

  /** A file in parts, sent out of order; and an upload that is given up. */
  async uploads({ parts, size }) {
    const pieces = Array.from({ length: parts }, (_, number) => Buffer.alloc(size, `part ${number}\n`));
    const content = Buffer.concat(pieces);
    const upload = await client.uploads.create({
      bytes: content.length,
      filename: "parts.jsonl",
      mime_type: "application/jsonl",
      purpose: "batch",
    });
    const sent = new Array(parts);
    for (let number = parts - 1; number >= 0; number--) {
      const data = new File([pieces[number]], "part");
      sent[number] = await client.uploads.parts.create(upload.id, { data });
    }
    const completed = await client.uploads.complete(upload.id, {
      part_ids: sent.map((part) => part.id),
      md5: createHash("md5").update(content).digest("hex"),
    });
    const file = await client.files.waitForProcessing(completed.file.id, { pollInterval: 100 });
    const downloaded = Buffer.from(await (await client.files.content(file.id)).arrayBuffer());
    const given_up = await client.uploads.create({
      bytes: 4,
      filename: "no.jsonl",
      mime_type: "application/jsonl",
      purpose: "batch",
    });
    const cancelled = await client.uploads.cancel(given_up.id);
    const refused = await failure(client.uploads.complete(given_up.id, { part_ids: ["part_x"] }));
    return { upload, sent, completed, file, same: downloaded.equals(content), cancelled, refused };
  },

  /** The SDK's own classes of errors. */
  async errors({ path }) {
    const stranger = new OpenAI({ apiKey: "wrong", maxRetries: 0 });
    const file = await client.files.create({ file: createReadStream(path), purpose: "batch" });
    const wish = { input_file_id: file.id, endpoint: "/v1/unknown", completion_window: "24h" };
    return {
      key: await failure(stranger.files.list()),
      file: await failure(client.files.retrieve("file-unknown")),
      batch: await failure(client.batches.retrieve("batch_unknown")),
      endpoint: await failure(client.batches.create(wish)),
      model: (await client.models.retrieve("gpt-4o-mini")).id,
    };
  },
};

const ended = (id) => reaches(id, TERMINAL);

async function reaches(id, statuses) {
  for (const deadline = Date.now() + 180_000; Date.now() < deadline; await pause(100)) {
    const batch = await client.batches.retrieve(id);
    if (statuses.has(batch.status)) return batch;
  }
  throw new Error(`${id} has none of the statuses ${[...statuses]} after 180 seconds`);
}

const text = async (id) => (id ? (await client.files.content(id)).text() : null);

async function failure(call) {
  try {
    await call;
  } catch (error) {
    const { status, code, param, requestID, message } = error;
    return { kind: error.constructor.name, status, code, param, requestID, message };
  }
  throw new Error("the call did not fail");
}

async function main([name, options]) {
  process.stdout.write(JSON.stringify(await scenarios[name](JSON.parse(options))));
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
