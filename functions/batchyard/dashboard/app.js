// The page: who is signed in, which view is shown, and the frame around it.

import * as api from "./api.js";
import * as dialogs from "./dialogs.js";
import { h, patch } from "./dom.js";
import { money } from "./format.js";
import { alert, button, loading, named } from "./marks.js";
import { Poll } from "./poll.js";
import { signInView } from "./view_signin.js";
import { batchesView } from "./view_batches.js";
import { batchView } from "./view_batch.js";
import { filesView } from "./view_files.js";
import { keysView } from "./view_keys.js";
import { newView } from "./view_new.js";
import { accountsView, lanesView } from "./view_operators.js";
import { usageView } from "./view_usage.js";
import { webhooksView } from "./view_webhooks.js";

const VIEWS = {
  batches: [batchesView, "Batches"],
  new: [newView, "New batch"],
  files: [filesView, "Files"],
  usage: [usageView, "Usage"],
  keys: [keysView, "API keys"],
  webhooks: [webhooksView, "Webhooks"],
};
const OPERATORS_VIEWS = { lanes: [lanesView, "Lanes"], accounts: [accountsView, "Accounts"] };
const MESSAGE_MILLISECONDS = 6000;

let session = null;
let view = null;
let poll = null;
let wasSomewhere = false;
let problem = null;
let message = "";
let messageTimer = 0;
let isDue = false;

const app = { draw, loading: () => (problem ? null : loading()), say, fail, copy, go, ask: () => poll?.ask(), limits: () => session?.deployment };

start();

function start() {
  dialogs.drawDialogsWith(draw);
  const next = () => takeKeyFromAddress() || navigate();
  addEventListener("hashchange", next);
  next();
}

/** `#key=…`: taken out of the address at once, so that it is in no history. Whether there was one. */
function takeKeyFromAddress() {
  const given = new URLSearchParams(location.hash.slice(1)).get("key");
  if (!given) return false;
  history.replaceState(null, "", `${location.pathname}${location.search}#/batches`);
  session = null;
  api.signIn(given.trim(), true);
  navigate();
  return true;
}

function go(hash) {
  if (location.hash === hash) navigate();
  else location.hash = hash;
}

function navigate() {
  poll?.end();
  view?.leave?.();
  dialogs.close();
  problem = null;
  view = api.isSignedIn() ? chosen() : signInView(app, signedIn);
  poll = view.poll ? new Poll(load, failed) : null;
  draw();
  if (wasSomewhere) queueMicrotask(arrive);
  wasSomewhere = true;
}

/** Another view begins at its top, and screen readers say its name. */
function arrive() {
  scrollTo(0, 0);
  document.querySelector("h1").focus({ preventScroll: true });
}

function chosen() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, id] = path.split("/");
  if (name === "batches" && id) return batchView(app, { id: decoded(id) });
  const [make] = VIEWS[name] ?? OPERATORS_VIEWS[name] ?? VIEWS.batches;
  return make(app, Object.fromEntries(new URLSearchParams(query)));
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

async function load(signal) {
  const shown = view;
  session ??= await api.get("dashboard/api/session", {}, signal);
  const isActive = await shown.poll(signal);
  problem = null;
  draw();
  return isActive;
}

function failed(error) {
  if (error.status === 401) {
    signOut("This API key is not accepted (any more). Sign in with another one.");
    return;
  }
  problem = error;
  draw();
}

function signedIn(key, isKept) {
  session = null;
  api.signIn(key, isKept);
  go("#/batches");
}

function signOut(why = "") {
  api.signOut();
  session = null;
  navigate();
  if (why) fail(new Error(why));
}

function say(words) {
  message = words;
  clearTimeout(messageTimer);
  messageTimer = setTimeout(() => {
    message = "";
    draw();
  }, MESSAGE_MILLISECONDS);
  draw();
}

function fail(error) {
  problem = error;
  draw();
}

async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    say(`${what} was copied.`);
  } catch {
    say(`${what} could not be copied: select it instead.`);
  }
}

/** Once for all changes of a moment, at once rather than at the next frame, because hidden pages have none. */
function draw() {
  if (isDue) return;
  isDue = true;
  queueMicrotask(() => {
    isDue = false;
    document.title = `${view.title} · Batchyard`;
    const content = api.isSignedIn() ? frame() : h("main", { class: "alone", key: "alone" }, trouble(), view.body());
    patch(document.body, h("body", {}, content).children);
  });
}

function frame() {
  return [
    h("a", { class: "skip", href: "#main", key: "skip", onclick: skip }, "To the content"),
    side(),
    h(
      "main",
      { id: "main", key: `main ${location.hash}` },
      view.back ? h("a", { class: "back", href: view.back[0], key: "back" }, `‹ ${view.back[1]}`) : null,
      h("h1", { tabindex: -1, key: "title" }, view.title),
      trouble(),
      view.body(),
    ),
    h("div", { class: message ? "message shown" : "message", role: "status", key: "message" }, message),
    dialogs.dialog(),
  ];
}

function skip(event) {
  event.preventDefault();
  document.querySelector("h1").focus();
}

function trouble() {
  if (!problem) return null;
  return view.problem?.(problem) ?? alert(problem.message, "problem");
}

function side() {
  const here = location.hash.replace(/^#\/?/, "").split(/[/?]/)[0] || "batches";
  const links = (views) =>
    Object.entries(views).map(([name, [, label]]) =>
      h("a", { key: name, href: `#/${name}`, "aria-current": name === here ? "page" : null }, label),
    );
  return h(
    "header",
    { class: "side", key: "side" },
    h("p", { class: "brand" }, "Batchyard"),
    h(
      "nav",
      { "aria-label": "Views" },
      links(VIEWS),
      session?.is_operator ? [h("span", { class: "nav-title" }, "Operators"), links(OPERATORS_VIEWS)] : null,
    ),
    h(
      "div",
      { class: "who" },
      session ? h("p", {}, named(session.account.name, 40), session.balance ? h("span", { class: "below" }, `${money(session.balance.available_usd)} available`) : null) : null,
      button("Sign out", () => signOut()),
    ),
  );
}
