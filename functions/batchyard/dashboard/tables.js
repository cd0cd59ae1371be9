// Tables with headers, which scroll sideways on a phone, and pages of lists that go on by a cursor.

import { h } from "./dom.js";
import { button } from "./marks.js";

/** `columns`: [{title, cell, class}]; `rows` are things with a key. `class` "wide" hides a column on a phone. */
export function table(label, columns, rows, keyOf) {
  return h(
    "div",
    { class: "scroll", role: "region", "aria-label": label, tabindex: 0, key: `table ${label}` },
    h(
      "table",
      {},
      h("caption", { class: "unseen" }, label),
      h("thead", {}, h("tr", {}, columns.map((column) => h("th", { scope: "col", class: column.class }, column.title)))),
      h(
        "tbody",
        {},
        rows.map((row) =>
          h(
            "tr",
            { key: keyOf(row) },
            columns.map((column, index) =>
              index === 0
                ? h("th", { scope: "row", class: column.class }, column.cell(row))
                : h("td", { class: column.class }, column.cell(row)),
            ),
          ),
        ),
      ),
    ),
  );
}

/** The pages of a list that were seen, as cursors; the first page has none. */
export class Pages {
  #cursors = [""];
  next = null;

  get cursor() {
    return this.#cursors.at(-1);
  }

  get isFirst() {
    return this.#cursors.length === 1;
  }

  forget() {
    this.#cursors = [""];
    this.next = null;
  }

  /** Links to the pages beside this one; nothing if there is only one. */
  shown(label, turn) {
    if (this.isFirst && !this.next) return null;
    const go = (change) => () => {
      change();
      this.next = null;
      turn();
    };
    return h(
      "nav",
      { class: "pages", "aria-label": label, key: `pages ${label}` },
      button("Newer", go(() => this.#cursors.pop()), { disabled: this.isFirst }),
      h("span", {}, `Page ${this.#cursors.length}`),
      button("Older", go(() => this.#cursors.push(this.next)), { disabled: !this.next }),
    );
  }
}
