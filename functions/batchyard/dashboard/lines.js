// Checks an input file before anything is sent, by the server's rules for OpenAI's lines, in flat memory but for the
// custom_ids. The server checks again: what it says counts.

import { count } from "./format.js";

export const ENDPOINTS = ["/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/completions", "/v1/moderations"];
const MOST_ERRORS = 50;
const MOST_SHOWN = 300;
const MOST_MODEL_CHARACTERS = 256;
const BYTES_PER_TOKEN = 4;
const BLANK = /^[ \t\r]*$/;

/** What a file holds. `errors`: [{line, code, message, text}], `line` 0 for the whole file. */
export class Checked {
  items = 0;
  bytes = 0;
  errors = [];
  isStopped = false; // there are too many errors to go on
  endpoint = null;
  models = new Map(); // model -> items
  tokens = 0; // guessed by the length of the bodies

  wrong(line, code, message, text = "") {
    this.errors.push({ line, code, message, text: text.slice(0, MOST_SHOWN) });
    this.isStopped = this.errors.length >= MOST_ERRORS;
  }
}

/** `limits`: the deployment's; `models`: the names that can be used, if they are known; `onProgress(share)`. */
export async function check(file, limits, models, onProgress, signal) {
  const checked = new Checked();
  if (file.size > limits.max_file_bytes) {
    checked.wrong(0, "file_too_large", `The file has ${count(file.size)} bytes; ${count(limits.max_file_bytes)} are allowed. Split it.`);
    return checked;
  }
  const seen = new Set();
  let number = 0;
  for await (const read of linesOf(file, limits.max_line_bytes, checked, onProgress, signal)) {
    number += 1;
    const line = number === 1 ? read?.replace(/^\ufeff/, "") ?? null : read;
    if (line === null) {
      checked.items += 1;
      checked.wrong(number, "line_too_long", `This line has more than ${count(limits.max_line_bytes)} bytes.`);
    } else if (!BLANK.test(line)) {
      checked.items += 1;
      if (checked.items > limits.max_batch_items) {
        checked.wrong(0, "too_many_tasks", `The file has more than ${count(limits.max_batch_items)} requests. Split it.`);
        break;
      }
      checkLine(line, number, checked, limits, models, seen);
    }
    if (checked.isStopped) break;
  }
  if (!checked.items && !checked.errors.length) checked.wrong(0, "empty_file", "The file has no lines. A batch needs at least one.");
  return checked;
}

/** The lines as text; null for one that is too long. */
async function* linesOf(file, mostBytes, checked, onProgress, signal) {
  const reader = file.stream().getReader();
  let pending = [];
  let size = 0;
  try {
    for (;;) {
      const { value, done } = await reader.read();
      signal.throwIfAborted();
      if (done) break;
      checked.bytes += value.length;
      onProgress(checked.bytes / file.size);
      let from = 0;
      for (let end = value.indexOf(10); end >= 0; end = value.indexOf(10, from)) {
        yield decoded([...pending, value.subarray(from, end)], size + end - from, mostBytes);
        [pending, size, from] = [[], 0, end + 1];
      }
      size += value.length - from;
      if (size <= mostBytes) pending.push(value.subarray(from));
      else pending = []; // too long: its beginning is not needed
    }
    if (size) yield decoded(pending, size, mostBytes);
  } finally {
    reader.cancel().catch(() => {});
  }
}

function decoded(pieces, size, mostBytes) {
  if (size > mostBytes) return null;
  const whole = new Uint8Array(size);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(whole);
}

function checkLine(text, number, checked, limits, models, seen) {
  let line;
  try {
    line = JSON.parse(text);
  } catch (error) {
    checked.wrong(number, "invalid_json_line", `This line is not parseable as valid JSON: ${error.message}`, text);
    return;
  }
  const problem = problemOf(line, checked, limits) ?? repeated(line, seen) ?? unknownModel(line, models);
  if (problem) {
    checked.wrong(number, ...problem, text);
    return;
  }
  checked.models.set(line.body.model, (checked.models.get(line.body.model) ?? 0) + 1);
  checked.tokens += Math.ceil(text.length / BYTES_PER_TOKEN);
}

/** [code, message] of the first thing that is wrong with a line. */
function problemOf(line, checked, limits) {
  if (!isObject(line)) return ["invalid_json_line", `This line is ${typeOf(line)}, not a JSON object. Write one request object per line.`];
  const { custom_id: customId, method, url, body, provider } = line;
  if (customId === undefined || customId === null) return missing("custom_id", "Give each line a custom_id of its own; results are told apart by it");
  if (typeof customId !== "string") return ["invalid_custom_id", `'custom_id' is ${typeOf(customId)}; it must be a string.`];
  const length = [...customId].length;
  if (!length || length > limits.max_custom_id_chars) return ["invalid_custom_id", `'custom_id' has ${count(length)} characters; 1 to ${count(limits.max_custom_id_chars)} are allowed.`];
  if (method === undefined || method === null) return missing("method", 'Add "method": "POST"');
  if (method !== "POST") return ["invalid_method", "'method' must be \"POST\"."];
  return wrongUrl(url, checked) ?? wrongBody(body) ?? (provider === undefined || provider === null || typeof provider === "string" ? null : ["invalid_type", `'provider' is ${typeOf(provider)}; it must be a string.`]);
}

/** The first line that names an endpoint decides for which one the batch is. */
function wrongUrl(url, checked) {
  if (url === undefined || url === null) return missing("url", `Add "url": "${checked.endpoint ?? ENDPOINTS[0]}"`);
  if (typeof url !== "string") return ["invalid_type", `'url' is ${typeOf(url)}; it must be a string.`];
  if (!ENDPOINTS.includes(url)) return ["url_mismatch", `'url' is '${url.slice(0, 128)}'; it can be ${ENDPOINTS.join(", ")}.`];
  checked.endpoint ??= url;
  if (url !== checked.endpoint) return ["url_mismatch", `'url' is '${url}', but the lines before are for '${checked.endpoint}'. All lines share it.`];
  return null;
}

function wrongBody(body) {
  if (body === undefined || body === null) return missing("body", "It holds the parameters of the request");
  if (!isObject(body)) return ["invalid_type", `'body' is ${typeOf(body)}; it must be an object.`];
  const { model } = body;
  if (model === undefined || model === null) return missing("body.model", "It says which model is asked");
  if (typeof model !== "string") return ["invalid_type", `'body.model' is ${typeOf(model)}; it must be a string.`];
  if (!model.length || model.length > MOST_MODEL_CHARACTERS) return ["invalid_model", `'body.model' must have 1 to ${MOST_MODEL_CHARACTERS} characters.`];
  const unusable = ["stream", "background"].find((name) => body[name]);
  return unusable ? ["unsupported_parameter", `'${unusable}' cannot be used in a batch, which stores one JSON answer per line. Remove it.`] : null;
}

function repeated(line, seen) {
  if (seen.has(line.custom_id)) return ["duplicate_custom_id", "Another line has the same custom_id. It must be unique for each request in a batch."];
  seen.add(line.custom_id);
  return null;
}

function unknownModel(line, models) {
  const asked = line.body.model;
  const bare = asked.includes("/") ? asked.slice(asked.indexOf("/") + 1) : asked;
  if (!models || models.has(asked) || models.has(bare)) return null;
  return ["model_not_found", `The model '${asked}' does not exist here. New batch lists the models that can be used.`];
}

function missing(param, hint) {
  return ["missing_required_parameter", `Missing required parameter: '${param}'. ${hint}.`];
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function typeOf(value) {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}
