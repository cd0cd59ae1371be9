// The API, which is one step above this page, and the API key it is called with. The key stays in the memory of this
// page, and in the session of this tab if its user wants that; it goes nowhere else.

import { count } from "./format.js";

const BASE = new URL("..", location.href.split("#")[0]);
const KEPT_AS = "batchyard.api_key";
const TRIES = 4;
const PATIENCE_MILLISECONDS = 60000;
const MOST_KEPT = 12;
const kept = new Map(); // path -> {tag, body} of its last answer, so that what has not changed is not sent again

let key = sessionStorage.getItem(KEPT_AS) ?? "";

/** A refusal, or `status` 0 if nothing could be reached. `retryAfter`: seconds, if the server said so. */
export class Refused extends Error {
  constructor(status, message, code = null, retryAfter = 0) {
    super(message);
    this.status = status;
    this.code = code;
    this.retryAfter = retryAfter;
  }
}

export function isSignedIn() {
  return key !== "";
}

export function signIn(given, isKept) {
  key = given;
  if (isKept) sessionStorage.setItem(KEPT_AS, given);
}

export function signOut() {
  key = "";
  kept.clear();
  sessionStorage.removeItem(KEPT_AS);
}

/** How this tab's key ends, as lists of keys show it. */
export function keyEnds(hint) {
  return Boolean(hint) && key.endsWith(hint.replace(/^\W+/, ""));
}

export function get(path, parameters = {}, signal = undefined) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) if (value) query.set(name, value);
  const asked = query.size ? `${path}?${query}` : path;
  const tag = kept.get(asked)?.tag;
  return call("GET", asked, { signal, headers: tag ? { "if-none-match": tag } : {} });
}

export function post(path, body = {}, headers = {}) {
  return call("POST", path, { body: JSON.stringify(body), headers: { "content-type": "application/json", ...headers } });
}

export function put(path, body) {
  return call("PUT", path, { body: JSON.stringify(body), headers: { "content-type": "application/json" } });
}

export function remove(path) {
  return call("DELETE", path);
}

/** Sends a form; once more after a while if nothing or no sense came back, because a part may be sent again. */
export async function send(path, form) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await call("POST", path, { body: form });
    } catch (refused) {
      const mayPass = refused.status === 0 || refused.status === 429 || refused.status >= 500;
      if (!mayPass || attempt === TRIES) throw refused;
      await new Promise((done) => setTimeout(done, 1000 * Math.max(refused.retryAfter, 2 ** attempt)));
    }
  }
}

async function call(method, path, { body, headers, signal } = {}) {
  const patience = AbortSignal.timeout(PATIENCE_MILLISECONDS);
  let reply;
  try {
    reply = await fetch(new URL(path, BASE), {
      method,
      body,
      headers: { authorization: `Bearer ${key}`, ...headers },
      signal: signal ? AbortSignal.any([signal, patience]) : patience,
      cache: "no-store",
      credentials: "omit",
    });
    if (reply.status === 304) return kept.get(path).body;
    const text = await reply.text();
    if (reply.ok) return keep(path, reply.headers.get("etag"), text ? JSON.parse(text) : null);
    throw refusal(reply, text);
  } catch (error) {
    if (error instanceof Refused || signal?.aborted) throw error;
    throw new Refused(0, "Batchyard cannot be reached, or its answer made no sense.");
  }
}

function keep(path, tag, body) {
  kept.delete(path);
  if (tag) kept.set(path, { tag, body });
  if (kept.size > MOST_KEPT) kept.delete(kept.keys().next().value);
  return body;
}

function refusal(reply, text) {
  let error = null;
  try {
    const body = JSON.parse(text);
    error = body.error ?? body;
  } catch {
    // Not ours: what the status says has to do.
  }
  const wait = Number(reply.headers.get("retry-after")) || 0;
  const said = error?.message ?? `The answer was ${reply.status}${wait ? `; try again in ${count(wait)} s` : ""}.`;
  return new Refused(reply.status, String(said), error?.code ?? null, wait);
}
