// The forms that a line of an input file may have, and what is wrong with one, by the server's rules for each. The first
// line that is an object says which form the file has. `lines.js` reads the files.

import { count } from "./format.js";

const CHAT = "/v1/chat/completions";
const [RESPONSES, EMBEDDINGS] = ["/v1/responses", "/v1/embeddings"];
const ENDPOINTS = [CHAT, RESPONSES, EMBEDDINGS, "/v1/completions", "/v1/moderations", "/v1/images/generations", "/v1/images/edits"];
const OPERATIONS = ["responses", "embeddings", "vision"];
const MOST_MODEL_CHARACTERS = 256;
const STREAMS_AND_JOBS = ["stream", "background"];
const ANTHROPICS_VERSION = "2023-06-01";

/** `problem(line, checked, limits)`: [code, message] of the first thing that is wrong. `read(line)`: {id, model} of a
 * good one. `request(fileId, checked, name, concurrency)`: {path, body, headers} that make a batch of the file;
 * `quote(fileId)`: {path, body} of what has to be asked before; `takesName`, `takesConcurrency`: whether those may be said. */
export const DIALECTS = {
  openai: {
    title: "OpenAI's form",
    takesName: true,
    takesConcurrency: true,
    problem: (line, checked, limits) => wrongOpenAILine(line, limits, (url) => wrongUrl(url, checked)),
    read: (line) => ({ id: line.custom_id, model: line.body.model }),
    request: (fileId, checked, name, concurrency) => ({
      path: "v1/batches",
      body: { input_file_id: fileId, endpoint: checked.endpoint, completion_window: "24h", ...metadata(name), ...settings(concurrency) },
    }),
  },
  anthropic: {
    title: "Anthropic's form",
    takesConcurrency: true,
    problem: wrongRequest,
    read: (line) => ({ id: line.custom_id, model: line.params.model }),
    request: (fileId, checked, name, concurrency) => ({
      path: "v1/messages/batches",
      body: { requests: [], input_file_id: fileId, ...settings(concurrency) },
      headers: { "anthropic-version": ANTHROPICS_VERSION },
    }),
  },
  batchrouter: {
    title: "BatchRouter's form",
    takesName: true,
    problem: wrongRoutedLine,
    read: (line) => (isOpenAIs(line) ? DIALECTS.openai.read(line) : { id: line.customer_item_id, model: line.model }),
    quote: (fileId) => ({ path: "v1/quotes/model", body: { input_file_id: fileId } }),
    request: (fileId, checked, name, concurrency, quote) => ({
      path: "v1/batches",
      body: { input_file_id: fileId, quote_id: quote.quote_id, ...metadata(name) },
      headers: { "idempotency-key": crypto.randomUUID() },
    }),
  },
  kushrouter: {
    title: "KushRouter's form",
    takesName: true,
    takesConcurrency: true,
    problem: wrongChatLine,
    read: (line) => ({ id: line.custom_id ?? null, model: (hasEnvelope(line) ? line.body : line).model }),
    request: (fileId, checked, name, concurrency) => ({
      path: "api/v1/batches",
      body: { input_file_id: fileId, ...metadata(name), ...settings(concurrency) },
    }),
  },
};

/** The name of the form that a line has. */
export function dialectOf(line) {
  if ("customer_item_id" in line || ("operation" in line && "input" in line)) return "batchrouter";
  if ("params" in line) return "anthropic";
  if ("url" in line || "method" in line || "body" in line) return "openai";
  return "messages" in line ? "kushrouter" : "openai";
}

function metadata(name) {
  return name ? { metadata: { name } } : {};
}

function settings(concurrency) {
  return concurrency ? { settings: { concurrency } } : {};
}

// OpenAI's: {"custom_id", "method", "url", "body"}.

function wrongOpenAILine(line, limits, wrongPlace) {
  if (!isObject(line)) return notAnObject(line, "line");
  const { custom_id: customId, method, url, body, provider } = line;
  if (isMissing(customId)) return missing("custom_id", "Give each line a custom_id of its own; results are told apart by it");
  if (typeof customId !== "string") return ["invalid_custom_id", `'custom_id' is ${typeOf(customId)}; it must be a string.`];
  const problem = wrongLength(customId, limits);
  if (problem) return problem;
  if (isMissing(method)) return missing("method", 'Add "method": "POST"');
  if (method !== "POST") return ["invalid_method", "'method' must be \"POST\"."];
  return wrongPlace(url) ?? wrongBody(body) ?? (isMissing(provider) || typeof provider === "string" ? null : ["invalid_type", `'provider' is ${typeOf(provider)}; it must be a string.`]);
}

/** The first line that names an endpoint decides for which one the batch is. */
function wrongUrl(url, checked) {
  if (isMissing(url)) return missing("url", `Add "url": "${checked.endpoint ?? CHAT}"`);
  if (typeof url !== "string") return ["invalid_type", `'url' is ${typeOf(url)}; it must be a string.`];
  if (!ENDPOINTS.includes(url)) return ["url_mismatch", `'url' is '${url.slice(0, 128)}'; it can be ${ENDPOINTS.join(", ")}.`];
  checked.endpoint ??= url;
  if (url !== checked.endpoint) return ["url_mismatch", `'url' is '${url}', but the lines before are for '${checked.endpoint}'. All lines share it.`];
  return null;
}

function wrongBody(body) {
  if (isMissing(body)) return missing("body", "It holds the parameters of the request");
  if (!isObject(body)) return ["invalid_type", `'body' is ${typeOf(body)}; it must be an object.`];
  const { model } = body;
  if (isMissing(model)) return missing("body.model", "It says which model is asked");
  if (typeof model !== "string") return ["invalid_type", `'body.model' is ${typeOf(model)}; it must be a string.`];
  if (!isModelName(model)) return wrongModel("body.model");
  const unusable = STREAMS_AND_JOBS.find((name) => !isEmpty(body[name]));
  return unusable ? ["unsupported_parameter", `'${unusable}' cannot be used in a batch, which stores one JSON answer per line. Remove it.`] : null;
}

// Anthropic's: {"custom_id", "params"}.

function wrongRequest(line) {
  if (!isObject(line)) return notAnObject(line, "request");
  const other = Object.keys(line).find((name) => !["custom_id", "params"].includes(name));
  if (other !== undefined) return ["unknown_parameter", `'${other.slice(0, 64)}' is not a member of a request.`];
  const { custom_id: customId, params } = line;
  if (isMissing(customId)) return missing("custom_id", "Results are told apart by it");
  if (typeof customId !== "string" || !/^[a-zA-Z0-9_-]{1,64}$/.test(customId)) return ["invalid_custom_id", "'custom_id' must be 1 to 64 letters, digits, hyphens and underscores."];
  if (isMissing(params)) return missing("params", "It holds the parameters of the message");
  if (!isObject(params)) return ["invalid_type", `'params' is ${typeOf(params)}; it must be an object.`];
  if (isMissing(params.model)) return missing("params.model", "It says which model is asked");
  if (typeof params.model !== "string" || !isModelName(params.model)) return wrongModel("params.model");
  return isEmpty(params.stream) ? null : ["unsupported_parameter", "'stream' cannot be used in a batch. Remove it."];
}

// BatchRouter's: {"customer_item_id", "operation", "model", "input"}, or a line of OpenAI's.

function isOpenAIs(line) {
  return "custom_id" in line && !("customer_item_id" in line);
}

function wrongRoutedLine(line, checked, limits) {
  if (!isObject(line)) return notAnObject(line, "item");
  if (isOpenAIs(line)) return wrongOpenAILine(line, limits, wrongRoutedUrl);
  const other = Object.keys(line).find((name) => !["customer_item_id", "operation", "model", "input"].includes(name));
  if (other !== undefined) return ["unknown_field", `There is no field '${other.slice(0, 64)}' in an item.`];
  const { customer_item_id: id, operation = "responses", model, input } = line;
  if (isMissing(id)) return ["missing_field", "'customer_item_id' is missing. Results are told apart by it."];
  if (typeof id !== "string" || !isOfLength(id, limits.max_custom_id_chars)) return ["invalid_customer_item_id", `'customer_item_id' must be a string of 1 to ${count(limits.max_custom_id_chars)} characters.`];
  if (!OPERATIONS.includes(operation)) return ["unknown_operation", `'operation' must be one of ${OPERATIONS.join(", ")}.`];
  if (isMissing(model)) return ["missing_field", "'model' is missing. It says which model is asked."];
  if (typeof model !== "string" || !isModelName(model)) return wrongModel("model");
  if (isMissing(input)) return ["missing_field", "'input' is missing. It holds the parameters of the request."];
  if (!isObject(input)) return ["invalid_input", `'input' is ${typeOf(input)}; it must be an object.`];
  return wrongInput(operation, model, input);
}

/** Each item is for what it names. */
function wrongRoutedUrl(url) {
  return url === "/v1/messages" ? null : wrongUrl(url, { endpoint: null });
}

function wrongInput(operation, model, input) {
  if ("model" in input && input.model !== model) return ["invalid_input", "'input.model' differs from 'model'. Leave it out."];
  const takesInput = operation === "embeddings" || (operation === "responses" && !("messages" in input) && "input" in input);
  const content = takesInput ? "input" : "messages";
  if (isEmpty(input[content])) return ["missing_field", `'input' must have '${content}', and it must not be empty.`];
  if (content === "messages" && !Array.isArray(input.messages)) return ["invalid_input", "'input.messages' must be an array."];
  const unusable = STREAMS_AND_JOBS.find((name) => !isEmpty(input[name]));
  return unusable ? ["invalid_input", `'${unusable}' cannot be used in a batch. Remove it.`] : null;
}

// KushRouter's: the body of a chat completion, with a custom_id if one is wanted, or a line of OpenAI's.

function hasEnvelope(line) {
  return "body" in line && !("messages" in line);
}

function wrongChatLine(line, checked, limits) {
  if (!isObject(line)) return notAnObject(line, "request");
  const { custom_id: customId } = line;
  if (!isMissing(customId)) {
    if (typeof customId !== "string") return ["invalid_custom_id", "'custom_id' must be a string."];
    const problem = wrongLength(customId, limits);
    if (problem) return problem;
    if (/^index:\p{Nd}+$/u.test(customId)) return ["invalid_custom_id", "A custom_id of the form 'index:<number>' stands for a line without one. Use another."];
  }
  return hasEnvelope(line) ? (wrongEnvelope(line) ?? wrongChat(line.body)) : wrongChat(line);
}

function wrongEnvelope(line) {
  const other = Object.keys(line).find((name) => !["custom_id", "method", "url", "body"].includes(name));
  if (other !== undefined) return ["unknown_parameter", `'${other.slice(0, 64)}' stands beside 'body'; put it inside.`];
  const { method = "POST", url = CHAT } = line;
  if (method !== "POST") return ["invalid_method", "'method' must be \"POST\"."];
  return url === CHAT ? null : ["url_mismatch", `'url' must be '${CHAT}': batches take chat completions.`];
}

function wrongChat(body) {
  if (!isObject(body)) return ["invalid_type", "'body' must be an object: the body of a chat completion."];
  const { model, messages } = body;
  if (isMissing(model)) return missing("model", "It says which model is asked");
  if (typeof model !== "string" || !isModelName(model)) return wrongModel("model");
  if (isMissing(messages)) return missing("messages", "They are what the model is asked");
  return Array.isArray(messages) && messages.length ? null : ["invalid_type", "'messages' must be an array of at least one message."];
}

// What several of them check.

function wrongLength(customId, limits) {
  if (isOfLength(customId, limits.max_custom_id_chars)) return null;
  return ["invalid_custom_id", `'custom_id' has ${count([...customId].length)} characters; 1 to ${count(limits.max_custom_id_chars)} are allowed.`];
}

function wrongModel(param) {
  return ["invalid_model", `'${param}' must be a string of 1 to ${MOST_MODEL_CHARACTERS} characters.`];
}

function isModelName(model) {
  return isOfLength(model, MOST_MODEL_CHARACTERS);
}

function isOfLength(text, most) {
  return text.length > 0 && (text.length <= most || [...text].length <= most);
}

function missing(param, hint) {
  return ["missing_required_parameter", `Missing required parameter: '${param}'. ${hint}.`];
}

function notAnObject(line, what) {
  return ["invalid_json_line", `This ${what} is ${typeOf(line)}, not a JSON object. Write one on each line.`];
}

function isMissing(value) {
  return value === undefined || value === null;
}

/** What the server takes for nothing: an empty array or object, too. */
function isEmpty(value) {
  return !value || (typeof value === "object" && !Object.keys(value).length);
}

export function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function typeOf(value) {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}
