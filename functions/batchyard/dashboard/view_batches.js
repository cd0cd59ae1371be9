// The list of batches: how far each is, how fast, what it costs, what it waits for.

import * as api from "./api.js";
import { bars, line, progress } from "./charts.js";
import { h } from "./dom.js";
import { count, duration, money, name, now, percent, rate, short } from "./format.js";
import { empty, figure, named, state, time } from "./marks.js";
import { Pages, table } from "./tables.js";

const FILTERS = { "": "All", active: "Active", completed: "Completed", failed: "Failed", cancelled: "Cancelled", expired: "Expired" };
const MOST_POINTS = 90;
const MOST_LANES = 4;
const SPEED_SECONDS = 30;

export function isEnded(batch) {
  return batch.is_terminal;
}

/** Its counts as charts take them. */
export function counts({ counts: { total, succeeded, failed, cancelled, expired } }) {
  return { total, succeeded, failed, stopped: cancelled + expired };
}

export function retriesOf(batch) {
  return Object.values(batch.retries).reduce((sum, many) => sum + many, 0);
}

/** "50 % below realtime": against what the same would cost there; nothing if it is no less. */
export function saving(batch, words = "below realtime") {
  const [cost, realtime] = [Number(batch.cost_usd), Number(batch.realtime_usd)];
  return realtime > cost ? `${percent(1 - cost / realtime)} ${words}` : null;
}

export function timeLeft(batch) {
  if (isEnded(batch)) return batch.ended_at ? `took ${duration(batch.ended_at - batch.created_at)}` : "";
  const left = batch.expires_at - now();
  return left > 0 ? `${duration(left)} left` : "past its deadline";
}

/** How fast batches are now: by what was seen in the last half minute, else their average. */
export class Speeds {
  #seen = new Map(); // id -> [{at, done}]

  of(batch) {
    if (isEnded(batch) || !batch.in_progress_at) return null;
    const seen = this.#seen.get(batch.id) ?? [];
    const [first, last] = [seen[0], seen.at(-1)];
    if (!first || last.at - first.at < 1) return batch.items_per_second;
    return Math.max(0, (last.done - first.done) / (last.at - first.at));
  }

  take(batches) {
    const at = Date.now() / 1000;
    const before = this.#seen;
    this.#seen = new Map();
    for (const batch of batches) {
      const recent = (before.get(batch.id) ?? []).filter((each) => at - each.at <= SPEED_SECONDS);
      this.#seen.set(batch.id, [...recent, { at, done: batch.counts.done }]);
    }
  }
}

export function batchesView(app, { filter = "" }) {
  const pages = new Pages();
  const speeds = new Speeds();
  const points = [];
  let batches = null;

  async function poll(signal) {
    const asked = pages.cursor;
    const page = await api.get("dashboard/api/batches", { status: filter, limit: 50, cursor: asked }, signal);
    if (asked !== pages.cursor) return true;
    tell(batches, page.batches);
    batches = page.batches;
    pages.next = page.next_cursor;
    speeds.take(batches);
    points.push(batches.reduce((sum, batch) => sum + (speeds.of(batch) ?? 0), 0));
    if (points.length > MOST_POINTS) points.shift();
    return batches.some((batch) => !isEnded(batch));
  }

  /** Says which batches have ended since the last poll: seldom, and only what one would want to hear. */
  function tell(before, after) {
    const running = new Set((before ?? []).filter((batch) => !isEnded(batch)).map((batch) => batch.id));
    const ended = after.filter((batch) => running.has(batch.id) && isEnded(batch));
    if (ended.length === 1) app.say(`Batch ${ended[0].shown_id} is ${ended[0].status}.`);
    else if (ended.length) app.say(`${ended.length} batches have ended.`);
  }

  function turn() {
    batches = null;
    app.ask();
  }

  function search(event) {
    event.preventDefault();
    const id = event.target.elements.id.value.trim();
    if (id) app.go(`#/batches/${encodeURIComponent(id)}`);
  }

  function body() {
    return [
      batches?.length ? summary() : null,
      h(
        "div",
        { class: "bar-of-tools", key: "tools" },
        h(
          "nav",
          { class: "filters", "aria-label": "Batches by status" },
          Object.entries(FILTERS).map(([value, label]) =>
            h(
              "a",
              { key: value, href: value ? `#/batches?filter=${value}` : "#/batches", "aria-current": value === filter ? "true" : null },
              label,
            ),
          ),
        ),
        h(
          "form",
          { class: "find", role: "search", onsubmit: search },
          h("input", { name: "id", type: "search", "aria-label": "Id of a batch", placeholder: "Go to a batch by its id", spellcheck: "false", maxlength: 100 }),
        ),
      ),
      batches === null ? app.loading() : batches.length ? list() : nothing(),
      pages.shown("Pages of batches", turn),
    ];
  }

  function nothing() {
    if (filter || !pages.isFirst) return empty("No such batch.", "Choose another status above.");
    return empty("No batch yet.", h("a", { href: "#/new" }, "Drop a file"), " to make the first one, or use any of the clients that your programs use already.");
  }

  function summary() {
    const active = batches.filter((batch) => !isEnded(batch));
    const retries = {};
    for (const batch of batches) for (const [why, many] of Object.entries(batch.retries)) retries[why] = (retries[why] ?? 0) + many;
    const reasons = Object.entries(retries).sort((one, other) => other[1] - one[1]).slice(0, 4);
    const left = active.reduce((sum, batch) => sum + batch.counts.total - batch.counts.done, 0);
    const speed = points.at(-1) ?? 0;
    const spent = batches.reduce((sum, batch) => sum + Number(batch.cost_usd), 0);
    const realtime = batches.reduce((sum, batch) => sum + Number(batch.realtime_usd), 0);
    const waiting = active.filter((batch) => batch.waiting_for.length).length;
    return h(
      "section",
      { class: "summary", "aria-label": "The batches of this page together", key: "summary" },
      h(
        "dl",
        { class: "figures" },
        figure("Active", count(active.length), waiting ? `${count(waiting)} of them wait` : active.length ? "none waits" : null),
        figure("Items left", short(left), left && speed > 0.05 ? `about ${duration(left / speed)} at this speed` : null),
        figure("Cost", money(String(spent)), saving({ cost_usd: spent, realtime_usd: realtime })),
      ),
      h(
        "div",
        { class: "chart", key: "speed" },
        h("p", { class: "chart-title" }, "Items per second ", h("strong", {}, rate(speed))),
        line(`Items per second since this page was opened, now ${rate(speed)}`, points, 1),
      ),
      reasons.length
        ? h("div", { class: "chart", key: "retries" }, h("p", { class: "chart-title" }, "Retries by reason"), bars("Retries by reason", reasons.map(([label, value]) => ({ label: reason(label), value }))))
        : null,
    );
  }

  function list() {
    const columns = [
      { title: "Batch", cell: nameOf, class: "one-line" },
      { title: "Status", cell: statusOf, class: "one-line" },
      { title: "Progress", cell: progressOf, class: "grow" },
      { title: "Speed", cell: (batch) => (isEnded(batch) ? "–" : rate(speeds.of(batch))), class: "number wide" },
      { title: "Retries", cell: (batch) => count(retriesOf(batch)), class: "number wide" },
      { title: "Cost", cell: costOf, class: "number wide" },
      { title: "Time", cell: timeOf, class: "wide one-line" },
    ];
    return table("Batches", columns, batches, (batch) => batch.id);
  }

  return { title: "Batches", poll, body };
}

export function reason(word) {
  return named(word.replaceAll("_", " "), 40);
}

function nameOf(batch) {
  return [
    h("a", { class: "id", href: `#/batches/${encodeURIComponent(batch.id)}`, title: name(batch.shown_id) }, shortId(batch.shown_id)),
    h("span", { class: "below" }, named(batch.model ?? "no single model", 40), ` · ${name(batch.surface, 20)}`),
  ];
}

/** Its kind and how it ends, which tells it from others: ids that were made on one day begin alike. */
function shortId(id) {
  const letters = id.slice(0, id.indexOf("_") + 1);
  return id.length > 22 ? `${letters}…${id.slice(-8)}` : id;
}

function statusOf(batch) {
  const wait = batch.waiting_for[0];
  return [
    state(batch.status),
    wait && !isEnded(batch) ? h("span", { class: "below", title: wait.message }, state(wait.state)) : null,
  ];
}

function progressOf(batch) {
  const figures = counts(batch);
  const lanes = isEnded(batch) ? [] : batch.lanes;
  return h(
    "div",
    { class: "stack" },
    progress(`Progress of ${name(batch.shown_id)}`, figures),
    h(
      "span",
      { class: "below" },
      figures.total ? `${count(batch.counts.done)} of ${count(figures.total)}` : isEnded(batch) ? "no item" : "counting",
      figures.failed ? h("span", { class: "bad-text" }, ` · ${count(figures.failed)} failed`) : null,
      figures.stopped ? ` · ${count(figures.stopped)} without a result` : null,
    ),
    lanes.slice(0, MOST_LANES).map((lane) => smallLane(lane)),
    lanes.length > MOST_LANES ? h("span", { class: "below" }, `and ${lanes.length - MOST_LANES} lanes more`) : null,
  );
}

function smallLane(lane) {
  const lanesName = name(`${lane.provider} ${lane.model} ${lane.mode}`);
  return h(
    "div",
    { class: "small-lane", key: `${lanesName} ${lane.moved_from} ${lane.reason} ${lane.stage}` },
    h("span", {}, named(lane.provider, 20), ` ${name(lane.mode, 20)}`),
    progress(`Progress on ${lanesName}`, { total: lane.items, succeeded: lane.done }),
  );
}

function costOf(batch) {
  return [money(batch.cost_usd), h("span", { class: "below", title: saving(batch) }, saving(batch, "less"))];
}

function timeOf(batch) {
  return [time(batch.created_at), h("span", { class: "below" }, timeLeft(batch))];
}

