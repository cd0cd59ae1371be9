// Charts as SVG: progress, a line over time, bars by day or by reason. Each says in words what it shows, and those with
// many figures have them in a table, too.

import { h } from "./dom.js";
import { count } from "./format.js";

const WIDTH = 720;
const HEIGHT = 160;
const LOW = 0.004; // so that what is not nothing can be seen

/** How far `total` is: succeeded, failed and stopped items, and what is left. */
export function progress(label, { total, succeeded = 0, failed = 0, stopped = 0 }, props = {}) {
  const share = (many) => (total && many ? Math.max(LOW, many / total) : 0);
  const done = succeeded + failed + stopped;
  return h(
    "div",
    {
      class: "progress",
      role: "progressbar",
      "aria-label": label,
      "aria-valuemin": 0,
      "aria-valuemax": 100,
      "aria-valuenow": total ? Math.floor((100 * done) / total) : 0,
      "aria-valuetext": total
        ? `${count(done)} of ${count(total)}, ${count(failed + stopped)} failed`
        : "not counted yet",
      ...props,
    },
    h("span", { class: "good", style: { "--share": share(succeeded) } }),
    h("span", { class: "bad", style: { "--share": share(failed) } }),
    h("span", { class: "quiet", style: { "--share": share(stopped) } }),
  );
}

/** `points`: figures in order, the newest last. */
export function line(label, points, most = undefined) {
  const drawn = points.length === 1 ? [points[0], points[0]] : points;
  const top = Math.max(most ?? 0, ...drawn, 1e-9);
  const step = WIDTH / Math.max(1, drawn.length - 1);
  const path = drawn.map((point, index) => `${round(index * step)} ${round(60 - (56 * point) / top)}`).join("L");
  return h(
    "svg",
    { class: "line", viewBox: `0 0 ${WIDTH} 62`, preserveAspectRatio: "none", role: "img", "aria-label": label },
    drawn.length
      ? [h("path", { class: "area", d: `M0 62L${path}L${WIDTH} 62Z` }), h("path", { class: "stroke", d: `M${path}` })]
      : null,
  );
}

/** `days`: [{label, value, behind}]; `behind` is a larger figure, of which the rest shows behind the column. */
export function columns(label, days, written) {
  const top = Math.max(...days.map((day) => Math.max(day.value, day.behind ?? 0)), 1e-9);
  const step = WIDTH / Math.max(1, days.length);
  const wide = Math.min(28, step * 0.7);
  const column = (day, index, value, kind) => {
    const tall = value ? Math.max(1.5, ((HEIGHT - 12) * value) / top) : 0;
    return h("rect", {
      class: kind,
      key: `${kind}${day.label}`,
      x: round(index * step + (step - wide) / 2),
      y: round(HEIGHT - tall),
      width: round(wide),
      height: round(tall),
      rx: 2,
    });
  };
  return h(
    "figure",
    { class: "columns" },
    h("figcaption", {}, label, h("span", { class: "note" }, ` at most ${written(Math.max(...days.map((day) => day.value)))} a day`)),
    h(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${label}, as the table below has it` },
      h("path", { class: "axis", d: `M0 ${HEIGHT}H${WIDTH}` }),
      days.map((day, index) => (day.behind ? column(day, index, day.behind, "behind") : null)),
      days.map((day, index) => column(day, index, day.value, "front")),
    ),
    h("div", { class: "ends", "aria-hidden": "true" }, h("span", {}, days[0]?.label), h("span", {}, days.at(-1)?.label)),
  );
}

/** Bars that lie, with their names: [{label, value}]. */
export function bars(label, rows, written = count) {
  const top = Math.max(...rows.map((row) => row.value), 1e-9);
  return h(
    "ul",
    { class: "bars", "aria-label": label },
    rows.map((row) =>
      h(
        "li",
        { key: row.label },
        h("span", { class: "bar-name" }, row.label),
        h("span", { class: "bar", "aria-hidden": "true" }, h("span", { style: { "--share": row.value / top } })),
        h("span", { class: "bar-value" }, written(row.value)),
      ),
    ),
  );
}

/** Where `now` is between a beginning and a deadline, and where the end is expected. */
export function deadline(label, { from, to, now, expected }) {
  const at = (second) => Math.min(1, Math.max(0, (second - from) / Math.max(1, to - from)));
  return h(
    "div",
    { class: "deadline", role: "img", "aria-label": label, style: { "--now": at(now), "--expected": at(expected ?? now) } },
    h("span", { class: "passed" }),
    expected ? h("span", { class: "expected" }) : null,
  );
}

function round(number) {
  return Math.round(number * 10) / 10;
}
