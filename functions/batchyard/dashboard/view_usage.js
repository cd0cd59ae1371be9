// Usage and spend over time: by day and by model, against what the same would have cost in realtime.

import * as api from "./api.js";
import { bars, columns } from "./charts.js";
import { h } from "./dom.js";
import { count, money, now, percent, short } from "./format.js";
import { empty, figure, named } from "./marks.js";
import { section } from "./sections.js";
import { table } from "./tables.js";

const DAY = 86400;
const SPANS = [7, 30, 90, 365];
const MOST_MODELS = 12;

export function usageView(app, { days: asked }) {
  const span = SPANS.includes(Number(asked)) ? Number(asked) : 30;
  let usage = null;

  async function poll(signal) {
    usage = await api.get("dashboard/api/usage", { days: span }, signal);
    return false;
  }

  /** Every day of the span, also those of which there is nothing to tell. */
  function everyDay() {
    const known = new Map(usage.days.map((day) => [day.day, day]));
    return Array.from({ length: span }, (_, index) => {
      const label = new Date((now() - (span - 1 - index) * DAY) * 1000).toISOString().slice(0, 10);
      return { label, ...(known.get(label) ?? {}) };
    });
  }

  function body() {
    return [
      h(
        "nav",
        { class: "filters", "aria-label": "Days", key: "spans" },
        SPANS.map((days) => h("a", { key: days, href: `#/usage?days=${days}`, "aria-current": days === span ? "true" : null }, `${days} days`)),
      ),
      usage === null ? app.loading() : usage.days.length ? shown() : empty("Nothing was spent in these days.", "What a batch has used counts on the day on which it ends."),
    ].flat();
  }

  function shown() {
    const days = everyDay();
    const sum = (field) => usage.days.reduce((total, day) => total + Number(day[field]), 0);
    const [cost, realtime] = [sum("cost_usd"), sum("realtime_usd")];
    const items = sum("succeeded") + sum("failed") + sum("cancelled") + sum("expired");
    return [
      h(
        "dl",
        { class: "figures", key: "figures" },
        figure("Spent", money(String(cost)), realtime > cost ? `${money(String(realtime - cost))} (${percent(1 - cost / realtime)}) less than in realtime` : null),
        figure("Items", short(items), items ? `${percent(sum("succeeded") / items)} succeeded` : null),
        figure("Batches", count(sum("batches"))),
        figure("Tokens", short(sum("input_tokens") + sum("output_tokens")), `${short(sum("input_tokens"))} in, ${short(sum("output_tokens"))} out`),
      ),
      h(
        "div",
        { class: "charts", key: "charts" },
        columns("Spend by day", days.map((day) => ({ label: day.label, value: Number(day.cost_usd ?? 0), behind: Number(day.realtime_usd ?? 0) })), (dollars) => money(String(dollars))),
        columns("Items by day", days.map((day) => ({ label: day.label, value: (day.succeeded ?? 0) + (day.failed ?? 0) + (day.cancelled ?? 0) + (day.expired ?? 0) })), short),
      ),
      h("p", { class: "quiet-text", key: "note" }, "Days are UTC; the pale part of a column is what realtime would have cost more."),
      usage.models.length
        ? section("Spend by model", bars("Spend by model", byModel(), (dollars) => money(String(dollars))))
        : null,
      h("details", { class: "section", key: "table" }, h("summary", {}, "The same as a table"), dayTable()),
    ];
  }

  function byModel() {
    const models = usage.models.map((each) => ({ label: each.model === null ? "batches of several models" : named(each.model, 60), value: Number(each.cost_usd) }));
    return models.sort((one, other) => other.value - one.value).slice(0, MOST_MODELS);
  }

  function dayTable() {
    const columnsOf = [
      { title: "Day", cell: (day) => day.day },
      { title: "Batches", class: "number", cell: (day) => count(day.batches) },
      { title: "Succeeded", class: "number", cell: (day) => count(day.succeeded) },
      { title: "Failed", class: "number", cell: (day) => count(day.failed) },
      { title: "Tokens", class: "number", cell: (day) => count(day.input_tokens + day.output_tokens) },
      { title: "Cost", class: "number", cell: (day) => money(day.cost_usd) },
      { title: "In realtime", class: "number", cell: (day) => money(day.realtime_usd) },
    ];
    return table("Usage by day", columnsOf, usage.days.toReversed(), (day) => day.day);
  }

  return { title: "Usage", poll, body };
}
