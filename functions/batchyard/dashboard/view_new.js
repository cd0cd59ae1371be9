// A new batch: drop a file, see what is wrong with it on its lines, see what it is expected to cost, start it.

import * as api from "./api.js";
import { DIALECTS } from "./dialects.js";
import { h } from "./dom.js";
import { bytes, count, duration, money, name, now, percent } from "./format.js";
import { check } from "./lines.js";
import { alert, button, figure, mark, named } from "./marks.js";
import { section } from "./sections.js";
import { upload } from "./upload.js";

export function newView(app) {
  let file = null;
  let checking = null; // {share, stop}
  let checked = null;
  let plan = null;
  let sending = null; // {sent}
  let problem = "";
  let isOver = false;
  let models = null;

  async function poll(signal) {
    if (models === null) models = new Set((await api.get("v1/models", {}, signal)).data.map((model) => model.id));
    return false;
  }

  async function take(chosen) {
    if (!chosen || sending) return;
    checking?.stop.abort();
    const mine = { share: 0, stop: new AbortController() };
    [file, checked, plan, problem, checking] = [chosen, null, null, "", mine];
    app.draw();
    try {
      const found = await check(chosen, app.limits(), models, (share) => progressed(mine, share), mine.stop.signal);
      if (checking !== mine) return;
      checked = found;
      app.say(found.errors.length ? `The file has ${found.errors.length} errors.` : `The file is fine: ${found.items} requests.`);
      if (!found.errors.length) ask(found);
    } catch (error) {
      if (checking !== mine) return;
      problem = `The file could not be read: ${error.message}`;
    }
    checking = null;
    app.draw();
  }

  function progressed(mine, share) {
    if (share - mine.share < 0.01 && share < 1) return;
    mine.share = share;
    app.draw();
  }

  /** What it is expected to cost: for a file of one model that is asked before anything is sent. */
  async function ask(found) {
    if (found.models.size !== 1) return;
    const [model] = found.models.keys();
    try {
      const answer = await api.post("v1/plan", { endpoint: found.endpoint ?? "/v1/chat/completions", completion_window: "24h", items: found.items, model, tokens: Math.max(1, found.tokens) });
      if (checked === found || checking) plan = answer;
    } catch (error) {
      problem = error.status ? `What it would cost cannot be told: ${error.message}` : "";
    }
    app.draw();
  }

  function drop(event) {
    event.preventDefault();
    isOver = false;
    take(event.dataTransfer?.files[0]);
  }

  async function start(event) {
    event.preventDefault();
    const fields = event.target.elements;
    const concurrency = Number(fields.concurrency?.value ?? 0);
    const label = fields.label?.value.trim() ?? "";
    sending = { sent: 0 };
    problem = "";
    app.draw();
    try {
      const fileId = await upload(file, app.limits(), (sent) => {
        sending.sent = sent;
        app.draw();
      });
      const asked = dialect().quote?.(fileId);
      const quote = asked ? await api.post(asked.path, asked.body) : null;
      const { path, body, headers } = dialect().request(fileId, checked, label, concurrency, quote);
      const made = await api.post(path, body, headers);
      const batch = made.batch ?? made;
      app.say("The batch was made.");
      app.go(`#/batches/${encodeURIComponent(batch.id)}`);
    } catch (error) {
      problem = error.message;
    }
    sending = null;
    app.draw();
  }

  function body() {
    if (!app.limits()) return [app.loading()];
    return [
      h(
        "div",
        {
          key: "drop",
          class: isOver ? "drop over" : "drop",
          ondragover: (event) => {
            event.preventDefault();
            if (!isOver) [isOver] = [true, app.draw()];
          },
          ondragleave: () => {
            isOver = false;
            app.draw();
          },
          ondrop: drop,
        },
        h("p", { class: "drop-title" }, "Drop a JSONL file here"),
        h("p", { class: "quiet-text" }, "one request on each line, in OpenAI's form or in that of Anthropic, BatchRouter or KushRouter. It is checked in this page before anything is sent."),
        h("label", { class: "button main" }, "Choose a file", h("input", { class: "unseen", type: "file", accept: ".jsonl,.ndjson,.txt,application/jsonl", onchange: (event) => take(event.target.files[0]) })),
      ),
      file ? h("p", { key: "file", class: "file-name" }, named(file.name), ` · ${bytes(file.size)}`, checking ? ` · checking, ${percent(checking.share)}` : "") : null,
      alert(problem),
      checked?.errors.length ? wrong() : null,
      checked && !checked.errors.length ? fine() : null,
    ];
  }

  function wrong() {
    return section(
      `${checked.isStopped ? "The first " : ""}${count(checked.errors.length)} ${checked.errors.length === 1 ? "error" : "errors"}: nothing was sent`,
      h(
        "ol",
        { class: "wrong-lines" },
        checked.errors.map((error, index) =>
          h(
            "li",
            { key: `${error.line} ${index}` },
            h("span", { class: "line-number" }, error.line ? `line ${count(error.line)}` : "file"),
            h("div", {}, error.text ? h("code", { class: "excerpt" }, named(error.text, 200)) : null, h("p", {}, mark("cross"), named(error.message, 400), h("span", { class: "below" }, name(error.code, 60)))),
          ),
        ),
      ),
    );
  }

  function fine() {
    const asked = [...checked.models].sort((one, other) => other[1] - one[1]);
    return section(
      "Ready to start",
      h(
        "dl",
        { class: "figures" },
        figure("Requests", count(checked.items), checked.endpoint ?? dialect().title),
        figure("Models", count(asked.length), asked.slice(0, 3).map(([model, items]) => [named(model, 40), ` ${count(items)} `])),
        plan ? figure("Expected cost", money(plan.expected_cost_usd), `${money(plan.realtime_cost_usd)} in realtime`) : null,
        plan ? figure("Expected to take", duration(plan.expected_finish_at - now()), "the deadline is 24 hours from now") : null,
      ),
      plan?.notes.length ? h("p", { class: "quiet-text" }, plan.notes.join(" ")) : null,
      h(
        "form",
        { class: "form", onsubmit: start },
        dialect().takesName ? h("label", {}, "Name (optional)", h("input", { name: "label", maxlength: 500, autocomplete: "off" })) : null,
        dialect().takesConcurrency ? h("label", {}, "Calls in flight at most (optional)", h("input", { name: "concurrency", type: "number", min: 1, max: 10000, inputmode: "numeric" })) : null,
        h("button", { class: "main", type: "submit", disabled: Boolean(sending) }, sending ? `Sending ${bytes(sending.sent)} of ${bytes(file.size)}` : `Send ${count(checked.items)} requests`),
        button("Another file", forget, { disabled: Boolean(sending) }),
      ),
    );
  }

  function dialect() {
    return DIALECTS[checked.dialect];
  }

  function forget() {
    [file, checked, plan, problem] = [null, null, null, ""];
    app.draw();
  }

  return { title: "New batch", poll, body, leave: () => checking?.stop.abort() };
}
