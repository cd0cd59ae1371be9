// Small things that every view shows alike: states by shape and word, times, names, copies, what is missing.

import { h } from "./dom.js";
import { duration, exactly, moment, name, now } from "./format.js";

const SHAPES = {
  tick: "M2 6.5 5 9.5 10 3",
  cross: "M2.5 2.5 9.5 9.5M9.5 2.5 2.5 9.5",
  half: "M6 3V9M6 1.5A4.5 4.5 0 0 1 6 10.5A4.5 4.5 0 0 1 6 1.5M7.5 4V8M9 5V7",
  ring: "M6 1.5A4.5 4.5 0 0 1 6 10.5A4.5 4.5 0 0 1 6 1.5",
  bar: "M2 6H10",
  clock: "M6 1.5A4.5 4.5 0 0 1 6 10.5A4.5 4.5 0 0 1 6 1.5M6 3.5V6L8 7.5",
  block: "M2.5 2.5H9.5V9.5H2.5Z",
  pause: "M4 2.5V9.5M8 2.5V9.5",
  alert: "M6 1.5 11 10.5H1ZM6 5V7.2",
};

// state -> [shape, tone, word]
const STATES = {
  validating: ["ring", "run", "checking"],
  in_progress: ["half", "run", "running"],
  finalizing: ["half", "run", "finishing"],
  cancelling: ["half", "warn", "cancelling"],
  completed: ["tick", "good", "completed"],
  failed: ["cross", "bad", "failed"],
  cancelled: ["bar", "quiet", "cancelled"],
  expired: ["clock", "bad", "expired"],
  succeeded: ["tick", "good", "succeeded"],
  waiting: ["ring", "quiet", "waiting"],
  running: ["half", "run", "running"],
  done: ["tick", "good", "done"],
  queued: ["ring", "quiet", "in the queue"],
  throttled: ["pause", "warn", "throttled"],
  trouble: ["alert", "warn", "provider in trouble"],
  blocked: ["block", "bad", "blocked"],
  closed: ["tick", "good", "well"],
  open: ["alert", "warn", "in trouble"],
  probing: ["half", "warn", "being tried"],
  half_open: ["half", "warn", "being tried"],
  pending: ["ring", "run", "to be delivered"],
  delivered: ["tick", "good", "delivered"],
  active: ["tick", "good", "active"],
  revoked: ["bar", "quiet", "revoked"],
  disabled: ["bar", "quiet", "disabled"],
};

export function state(word) {
  const [shape, tone, shown] = STATES[word] ?? ["ring", "quiet", name(word, 40)];
  return h("span", { class: `state ${tone}` }, mark(shape), shown);
}

export function mark(shape) {
  return h("svg", { class: "mark", viewBox: "0 0 12 12", "aria-hidden": "true" }, h("path", { d: SHAPES[shape] }));
}

export function time(second) {
  if (!second) return "–";
  return h("time", { datetime: new Date(second * 1000).toISOString(), title: exactly(second) }, moment(second));
}

export function ago(second) {
  if (!second) return "–";
  const past = now() - second;
  return h(
    "time",
    { datetime: new Date(second * 1000).toISOString(), title: exactly(second) },
    past < 60 ? "just now" : `${duration(past)} ago`,
  );
}

/** A name that a stranger chose. `bdi`: it turns nothing around it, whatever it is written in. */
export function named(text, most) {
  const shown = name(text, most);
  return h("bdi", { title: shown === text ? undefined : name(text, 1000) }, shown || "(no name)");
}

export function empty(title, ...what) {
  return h("div", { class: "empty", key: "empty" }, h("p", { class: "empty-title" }, title), h("p", {}, what));
}

export function alert(message, key = "alert") {
  return message ? h("p", { class: "alert", role: "alert", key }, mark("alert"), h("span", {}, message)) : null;
}

export function loading() {
  return h("p", { class: "loading", key: "loading" }, "Loading …");
}

export function button(label, onclick, props = {}) {
  return h("button", { type: "button", onclick, ...props }, label);
}

/** A figure with its name; `note` in small letters below. */
export function figure(label, value, note = null, props = {}) {
  return h(
    "div",
    { class: "figure", key: label, ...props },
    h("dt", {}, label),
    h("dd", {}, h("span", { class: "value" }, value), note ? h("span", { class: "note" }, note) : null),
  );
}
