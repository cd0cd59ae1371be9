// Checks an input file before anything is sent, by the server's rules for the form that its lines have (`dialects.js`), in
// flat memory but for the names of items. The server checks again: what it says counts.

import { DIALECTS, dialectOf, isObject } from "./dialects.js";
import { count } from "./format.js";

const MOST_ERRORS = 50;
const MOST_SHOWN = 300;
const BYTES_PER_TOKEN = 4;
const BLANK = /^[ \t\r]*$/;
const TOO_LONG = Symbol("a line that is too long");

/** What a file holds. `errors`: [{line, code, message, text}], `line` 0 for the whole file. */
class Checked {
  items = 0;
  bytes = 0;
  errors = [];
  isStopped = false; // there are too many errors to go on
  dialect = null; // the name of one of DIALECTS, once a line says so
  endpoint = null; // of a file in OpenAI's form
  models = new Map(); // model -> items
  tokens = 0; // guessed by the length of the bodies

  wrong(line, code, message, text = "") {
    this.errors.push({ line, code, message, text: text.slice(0, MOST_SHOWN) });
    this.isStopped = this.errors.length >= MOST_ERRORS;
  }
}

/** `general`: the deployment's limits, with those of each form of lines; `models`: the names that can be used, if they are
 * known; `onProgress(share)`. */
export async function check(file, general, models, onProgress, signal) {
  const checked = new Checked();
  let limits = general;
  if (isTooLarge(file, limits, checked)) return checked;
  const seen = new Set();
  let number = 0;
  for await (const { text, size } of linesOf(file, general.max_line_bytes, checked, onProgress, signal)) {
    number += 1;
    const line = number === 1 ? text?.replace(/^\ufeff/, "") ?? null : text;
    if (line !== null && BLANK.test(line)) continue;
    checked.items += 1;
    const value = line === null || size > limits.max_line_bytes ? TOO_LONG : parsed(line);
    if (checked.dialect === null && isObject(value)) {
      checked.dialect = dialectOf(value);
      limits = { ...general, ...general.dialects?.[checked.dialect] };
      if (isTooLarge(file, limits, checked)) return checked;
    }
    if (checked.items > limits.max_batch_items) {
      checked.wrong(0, "too_many_tasks", `The file has more than ${count(limits.max_batch_items)} requests. Split it.`);
      break;
    }
    if (value === TOO_LONG || size > limits.max_line_bytes) checked.wrong(number, "line_too_long", `This line has more than ${count(limits.max_line_bytes)} bytes.`);
    else if (value instanceof SyntaxError) checked.wrong(number, "invalid_json_line", `This line is not parseable as valid JSON: ${value.message}`, line);
    else checkLine(value, line, number, checked, limits, models, seen);
    if (checked.isStopped) break;
  }
  if (!checked.items && !checked.errors.length) checked.wrong(0, "empty_file", "The file has no lines. A batch needs at least one.");
  return checked;
}

/** The lines as text, null for one that is too long, with their bytes. */
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
        yield { text: decoded([...pending, value.subarray(from, end)], size + end - from, mostBytes), size: size + end - from };
        [pending, size, from] = [[], 0, end + 1];
      }
      size += value.length - from;
      if (size <= mostBytes) pending.push(value.subarray(from));
      else pending = []; // too long: its beginning is not needed
    }
    if (size) yield { text: decoded(pending, size, mostBytes), size };
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

function isTooLarge(file, limits, checked) {
  if (file.size <= limits.max_file_bytes) return false;
  checked.wrong(0, "file_too_large", `The file has ${count(file.size)} bytes; ${count(limits.max_file_bytes)} are allowed. Split it.`);
  return true;
}

/** The value of a line, or why it is no JSON. */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    return error;
  }
}

function checkLine(value, text, number, checked, limits, models, seen) {
  const dialect = DIALECTS[checked.dialect ?? "openai"];
  const wrong = dialect.problem(value, checked, limits);
  const item = wrong ? null : dialect.read(value);
  const problem = wrong ?? repeated(item.id, seen) ?? unknownModel(item.model, models);
  if (problem) {
    checked.wrong(number, ...problem, text);
    return;
  }
  checked.models.set(item.model, (checked.models.get(item.model) ?? 0) + 1);
  checked.tokens += Math.ceil(text.length / BYTES_PER_TOKEN);
}

function repeated(id, seen) {
  if (id === null) return null;
  if (seen.has(id)) return ["duplicate_custom_id", "Another line has the same custom_id. It must be unique for each request in a batch."];
  seen.add(id);
  return null;
}

function unknownModel(asked, models) {
  const bare = asked.includes("/") ? asked.slice(asked.indexOf("/") + 1) : asked;
  if (!models || models.has(asked) || models.has(bare)) return null;
  return ["model_not_found", `The model '${asked}' does not exist here. New batch lists the models that can be used.`];
}
