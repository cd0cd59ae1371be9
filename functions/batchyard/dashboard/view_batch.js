// One batch: how far it is on each lane, why it waits, its life as a timeline, its failed items, its files.

import * as api from "./api.js";
import { bars, deadline, line, progress } from "./charts.js";
import * as dialogs from "./dialogs.js";
import { h } from "./dom.js";
import { download } from "./download.js";
import { count, duration, exactly, moment, money, name, now, percent, rate } from "./format.js";
import { ItemsOfBatch, unsuccessful } from "./items.js";
import { alert, button, figure, mark, named, state, time } from "./marks.js";
import { section } from "./sections.js";
import { table } from "./tables.js";
import { counts, isEnded, reason, retriesOf, saving, Speeds, timeLeft } from "./view_batches.js";

const THROUGHPUT_SECONDS = 15;
const MOST_ERRORS = 100;

export function batchView(app, { id }) {
  const path = `dashboard/api/batches/${encodeURIComponent(id)}`;
  const speeds = new Speeds();
  const items = new ItemsOfBatch(app, path);
  let batch = null;
  let throughput = null;
  let throughputAt = 0;
  let told = null;

  async function poll(signal) {
    const before = batch;
    batch = await api.get(path, {}, signal);
    speeds.take([batch]);
    if (isEnded(batch) ? before === null || !isEnded(before) : now() - throughputAt >= THROUGHPUT_SECONDS) {
      throughputAt = now();
      throughput = await api.get(`${path}/throughput`, {}, signal);
    }
    if (before === null || unsuccessful(before) !== unsuccessful(batch) || before.status !== batch.status) items.refresh();
    tell();
    return !isEnded(batch);
  }

  /** Each quarter of the way, and how it ended. */
  function tell() {
    const quarter = batch.counts.total ? Math.floor((4 * batch.counts.done) / batch.counts.total) : 0;
    const news = isEnded(batch) ? batch.status : `${quarter * 25} percent done`;
    if (told !== null && told !== news) app.say(`This batch: ${news}.`);
    told = news;
  }

  function cancel() {
    dialogs.confirm(
      "Cancel this batch?",
      "What is done by now is kept and paid for; every other item gets the result batch_cancelled.",
      "Cancel the batch",
      async () => {
        await api.post(`v1/batches/${encodeURIComponent(batch.id)}/cancel`);
        app.say("The batch is being cancelled.");
        app.ask();
      },
    );
  }

  function body() {
    if (!batch) return [app.loading()];
    return [
      header(),
      waits(),
      overview(),
      lanes(),
      errors(),
      h("div", { class: "beside", key: "beside" }, timeline(), retries()),
      items.body(batch),
      details(),
    ];
  }

  function header() {
    return h(
      "div",
      { class: "batch-head", key: "head" },
      h("p", {}, state(batch.status), " ", h("code", { class: "id" }, name(batch.shown_id)), " ", named(batch.model ?? "no single model"), ` · ${name(batch.surface, 20)} · `, named(batch.endpoint ?? "", 60)),
      h(
        "div",
        { class: "actions" },
        batch.output_file_id ? button("Download results", () => download(app, batch.output_file_id), { class: "main" }) : null,
        batch.error_file_id ? button("Download errors", () => download(app, batch.error_file_id)) : null,
        button("Copy id", () => app.copy(batch.shown_id, "The id")),
        ["validating", "in_progress"].includes(batch.status) ? button("Cancel", cancel, { class: "danger" }) : null,
      ),
    );
  }

  function waits() {
    if (isEnded(batch) || !batch.waiting_for.length) return null;
    return h(
      "section",
      { class: "waits", key: "waits", "aria-label": "Why it waits" },
      batch.waiting_for.map((wait) =>
        h(
          "div",
          { class: "wait", key: `${wait.provider} ${wait.model} ${wait.state}` },
          h("p", {}, state(wait.state), " ", named(`${wait.provider} ${wait.model}`, 80), wait.since ? h("span", { class: "quiet-text" }, " since ", time(wait.since)) : null),
          h("p", {}, named(wait.message, 600)),
        ),
      ),
    );
  }

  function overview() {
    const figures = counts(batch);
    const done = batch.counts.done;
    const left = figures.total - done;
    const speed = speeds.of(batch);
    const expected = expectedEnd(speed, left);
    return h(
      "section",
      { class: "panel", key: "overview", "aria-label": "Progress" },
      progress("Progress of this batch", figures, { class: "progress tall" }),
      h(
        "p",
        { class: "legend" },
        h("span", { class: "key good" }, `${count(figures.succeeded)} succeeded`),
        h("span", { class: "key bad" }, `${count(figures.failed)} failed`),
        figures.stopped ? h("span", { class: "key quiet" }, `${count(figures.stopped)} without a result`) : null,
        isEnded(batch) ? null : h("span", { class: "key rest" }, figures.total ? `${count(left)} left` : "not counted yet"),
      ),
      h(
        "dl",
        { class: "figures" },
        figure("Done", figures.total ? percent(done / figures.total) : "–", figures.total ? `${count(done)} of ${count(figures.total)}` : null),
        figure("Speed", isEnded(batch) ? averageSpeed(done) : rate(speed), isEnded(batch) ? "over all of it" : "items per second"),
        figure("Cost", money(batch.cost_usd), saving(batch) ?? `realtime ${money(batch.realtime_usd)}`),
        figure("Tokens", count(batch.tokens.input + batch.tokens.output), `${count(batch.tokens.input)} in, ${count(batch.tokens.output)} out`),
        figure("Retries", count(retriesOf(batch)), "calls made again"),
        figure(isEnded(batch) ? "Ended" : "Deadline", moment(isEnded(batch) ? batch.ended_at : batch.expires_at), timeLeft(batch)),
      ),
      isEnded(batch) ? null : until(expected),
      chart(),
    );
  }

  function chart() {
    const points = (throughput?.points ?? []).map((point) => point.done / throughput.bucket_seconds);
    if (points.length < 2) return null;
    const most = Math.max(...points);
    const words = `Items per second, at most ${rate(most)}, over ${duration(points.length * throughput.bucket_seconds)}`;
    return h(
      "div",
      { class: "chart", key: "speed" },
      h("p", { class: "chart-title" }, words),
      line(words, points, 1),
      h("div", { class: "ends", "aria-hidden": "true" }, h("span", {}, moment(throughput.points[0].at)), h("span", {}, moment(throughput.points.at(-1).at))),
    );
  }

  function expectedEnd(speed, left) {
    if (isEnded(batch)) return null;
    return batch.expected_end_at ?? (speed > 0.01 && left > 0 ? now() + left / speed : null);
  }

  function averageSpeed(done) {
    const seconds = (batch.ended_at ?? 0) - (batch.in_progress_at ?? batch.created_at);
    return done && seconds > 0 ? rate(done / seconds) : "–";
  }

  function until(expected) {
    const isLate = expected && expected > batch.expires_at;
    const words = expected ? `Expected to be done ${isLate ? "after the deadline" : `in ${duration(expected - now())}`}` : "Nobody can tell yet when it is done";
    const sentence = `${words}. Deadline ${moment(batch.expires_at)}, ${timeLeft(batch)}.`;
    return h(
      "div",
      { class: "chart", key: "until" },
      h("p", { class: "chart-title" }, isLate ? mark("alert") : null, sentence),
      deadline(sentence, { from: batch.created_at, to: batch.expires_at, now: now(), expected }),
      h("div", { class: "ends", "aria-hidden": "true" }, h("span", {}, `made ${moment(batch.created_at)}`), h("span", {}, `deadline ${moment(batch.expires_at)}`)),
    );
  }

  function lanes() {
    if (!batch.lanes.length) return null;
    const columns = [
      { title: "Lane", cell: (lane) => [named(lane.provider, 40), h("span", { class: "below" }, named(lane.model, 60))] },
      { title: "Mode", cell: (lane) => [name(lane.mode, 20), lane.moved_from ? h("span", { class: "below" }, `moved from ${lane.moved_from}`) : null] },
      { title: "State", cell: (lane) => state(lane.stage) },
      {
        title: "Progress",
        class: "grow",
        cell: (lane) => [
          progress(`Progress on ${name(`${lane.provider} ${lane.model} ${lane.mode}`)}`, { total: lane.items, succeeded: lane.done }),
          h("span", { class: "below" }, `${count(lane.done)} of ${count(lane.items)}`),
        ],
      },
      { title: "Why", class: "wide prose", cell: (lane) => (lane.reason ? reason(lane.reason) : "") },
    ];
    return section("Lanes", table("Lanes", columns, batch.lanes, (lane) => `${lane.provider} ${lane.model} ${lane.mode} ${lane.moved_from} ${lane.reason} ${lane.stage}`));
  }

  function errors() {
    if (!batch.errors.length) return null;
    const shown = batch.errors.slice(0, MOST_ERRORS);
    const columns = [
      { title: "Line", class: "number", cell: (error) => (error.line ? count(error.line) : "file") },
      { title: "What is wrong", cell: (error) => [named(error.message, 500), h("span", { class: "below" }, named(error.code, 60))] },
      { title: "Where", cell: (error) => (error.param ? named(error.param, 60) : "–") },
    ];
    return section(
      "What is wrong with the file",
      table("Errors of the input file", columns, shown, (error) => shown.indexOf(error)),
      batch.errors.length > MOST_ERRORS ? h("p", { class: "quiet-text" }, `and ${count(batch.errors.length - MOST_ERRORS)} more.`) : null,
    );
  }

  function timeline() {
    const events = [...batch.timeline, ...(throughput?.timeline ?? [])].sort((one, other) => one.at - other.at || rank(one) - rank(other));
    return section(
      "Its life",
      h(
        "ol",
        { class: "timeline" },
        events.map((event, index) =>
          h(
            "li",
            { key: `${event.at} ${event.kind} ${event.detail} ${event.lane?.provider} ${event.lane?.model}`, class: event.kind },
            h("time", { datetime: new Date(event.at * 1000).toISOString(), title: exactly(event.at) }, since(event.at, index)),
            h("div", {}, h("strong", {}, happened(event)), aboutEvent(event)),
          ),
        ),
      ),
    );
  }

  function since(at, index) {
    return index === 0 ? moment(at) : `+ ${duration(at - batch.timeline[0].at)}`;
  }

  function retries() {
    const reasons = Object.entries(batch.retries).sort((one, other) => other[1] - one[1]);
    if (!reasons.length) return null;
    return section("Retries by reason", bars("Retries by reason", reasons.map(([label, value]) => ({ label: reason(label), value }))));
  }

  function details() {
    const metadata = Object.entries(batch.metadata ?? {});
    const rows = [
      ["Input file", batch.input_file_id],
      ["Output file", batch.output_file_id],
      ["Error file", batch.error_file_id],
      ...metadata.map(([key, value]) => [`metadata: ${key}`, typeof value === "string" ? value : JSON.stringify(value)]),
    ].filter(([, value]) => value);
    return section(
      "Details",
      h("dl", { class: "pairs" }, rows.map(([label, value]) => h("div", { key: label }, h("dt", {}, named(label, 80)), h("dd", {}, named(value, 400))))),
    );
  }

  return { title: "Batch", back: ["#/batches", "Batches"], poll, body, leave: () => items.leave(), problem: (error) => (error.status === 404 ? alert("There is no such batch in this account.") : null) };
}

const EVENTS = {
  created: "Made",
  validated: "Checked, and started",
  job_submitted: "Sent to the provider as a job",
  first_call: "The first call of a provider began",
  first_results: "The first results were stored",
  job_ended: "A job of the provider's is over; what it did was stored",
  failed_over: "Moved to another lane",
  waiting: "Waits",
  cancelling: "Cancelling",
  price_reached: "Its price limit was reached",
  finalizing: "Every item has its result; writing the files",
  ended: "Ended",
  deadline: "Deadline",
};

/** What comes first of events of the same second. */
function rank(event) {
  return Object.keys(EVENTS).indexOf(event.kind);
}

function happened(event) {
  if (event.kind === "ended") return state(event.detail);
  return EVENTS[event.kind] ?? named(event.kind.replaceAll("_", " "), 60);
}

function aboutEvent(event) {
  const lane = event.lane && `${event.lane.provider} ${event.lane.model} ${event.lane.mode}`;
  const texts = [lane, event.reason?.replaceAll("_", " "), event.kind === "ended" ? null : event.detail].filter(Boolean);
  return texts.length ? h("p", {}, named(texts.join(" · "), 500)) : null;
}
