// The items of a batch: those that failed, one that is searched for by its custom_id, and one request beside its result.

import * as api from "./api.js";
import * as dialogs from "./dialogs.js";
import { h } from "./dom.js";
import { bytes, count, name, text } from "./format.js";
import { alert, button, empty, loading, named, state } from "./marks.js";
import { Pages, table } from "./tables.js";

const MOST_PAGES_OF_A_SEARCH = 2000;

export class ItemsOfBatch {
  #app;
  #path;
  #pages = new Pages();
  #items = null;
  #problem = "";
  #search = null; // {customId, searched, found, isRunning}
  #stop = new AbortController();
  #isStale = true;
  #loading = null; // the newest call of #load

  constructor(app, path) {
    this.#app = app;
    this.#path = path;
  }

  leave() {
    this.#stop.abort();
  }

  /** Called when the batch has more items that came to nothing than before. */
  refresh() {
    this.#isStale = true;
    if (!this.#search && this.#pages.isFirst) this.#load();
  }

  /** A page that is empty but not the last one is no page for people: what is looked through ends somewhere. */
  async #load() {
    this.#isStale = false;
    const mine = (this.#loading = {});
    let cursor = this.#pages.cursor;
    try {
      let page;
      do {
        page = await api.get(`${this.#path}/items`, { outcome: "unsuccessful", limit: 50, cursor }, this.#stop.signal);
        if (this.#loading !== mine) return;
        cursor = page.next_cursor;
      } while (!page.items.length && cursor);
      this.#items = page.items;
      this.#pages.next = page.next_cursor;
      this.#problem = "";
    } catch (error) {
      if (this.#stop.signal.aborted || this.#loading !== mine) return;
      this.#problem = error.message;
    }
    this.#app.draw();
  }

  #submit = (event) => {
    event.preventDefault();
    const customId = event.target.elements.custom_id.value;
    if (customId) this.#find(customId);
    else this.#forget();
  };

  #forget() {
    this.#search = null;
    if (this.#isStale) this.#load();
    this.#app.draw();
  }

  /** Goes through the batch, some megabytes per question, until the item is found or there is no more. */
  async #find(customId) {
    const search = { customId, searched: 0, found: [], isRunning: true };
    this.#search = search;
    this.#problem = "";
    let cursor = "";
    try {
      for (let page = 0; page < MOST_PAGES_OF_A_SEARCH && this.#search === search; page += 1) {
        this.#app.draw();
        const asked = { custom_id: customId, cursor };
        const answer = await api.get(`${this.#path}/items`, asked, this.#stop.signal);
        search.searched = answer.searched;
        search.found = answer.items;
        cursor = answer.next_cursor;
        if (!cursor || answer.items.length) break;
      }
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      this.#problem = error.message;
    }
    search.isRunning = false;
    if (this.#search === search) this.#app.say(search.found.length ? "The item was found." : "No item was found.");
    this.#app.draw();
  }

  body(batch) {
    const items = this.#search ? this.#search.found : this.#items;
    return h(
      "section",
      { class: "section", key: "items" },
      h("h2", {}, this.#search ? "Items found" : "Failed items"),
      h(
        "form",
        { class: "find", role: "search", onsubmit: this.#submit },
        h("input", { name: "custom_id", type: "search", "aria-label": "custom_id of an item", placeholder: "Find an item by its custom_id", spellcheck: "false", maxlength: 10000 }),
        h("button", { type: "submit" }, "Find"),
        this.#search ? button("Show the failed ones", () => this.#forget()) : null,
      ),
      alert(this.#problem),
      this.#search?.isRunning ? h("p", { class: "loading" }, `Looking … ${count(this.#search.searched)} of ${count(batch.counts.total)} items so far.`) : null,
      items?.length ? this.#table(items) : this.#nothing(batch, items),
      this.#search ? null : this.#pages.shown("Pages of items", () => this.#turn()),
    );
  }

  #turn() {
    this.#items = null;
    this.#app.draw();
    this.#load();
  }

  #nothing(batch, items) {
    if (this.#search) {
      return this.#search.isRunning ? null : empty("No such item.", "No item of this batch has the custom_id ", named(this.#search.customId), ".");
    }
    if (items === null) return this.#problem ? null : loading();
    return h("p", { class: "quiet-text" }, unsuccessful(batch) ? "They are listed when their results are stored." : "None has failed.");
  }

  #table(items) {
    const columns = [
      { title: "Item", cell: (item) => h("button", { type: "button", class: "link", onclick: () => this.#show(item) }, named(item.custom_id, 60)) },
      { title: "Index", class: "number wide", cell: (item) => count(item.index) },
      { title: "Outcome", cell: (item) => state(item.outcome ?? "waiting") },
      { title: "Error", class: "grow prose", cell: (item) => (item.error ? [named(item.error.message, 300), h("span", { class: "below" }, named(item.error.code, 60), item.status_code ? ` · HTTP ${item.status_code}` : "")] : "–") },
    ];
    return table("Items", columns, items, (item) => item.index);
  }

  #show(item) {
    let whole = null;
    let problem = "";
    dialogs.show(`Item ${name(item.custom_id, 60)}`, () => [alert(problem), whole ? besides(whole) : problem ? null : loading()], { class: "large" });
    api.get(`${this.#path}/items/${item.index}`, {}, this.#stop.signal).then(
      (answer) => {
        whole = answer;
        this.#app.draw();
      },
      (error) => {
        problem = error.message;
        this.#app.draw();
      },
    );
  }
}

/** How many items of a batch failed, or were never run. */
export function unsuccessful({ counts }) {
  return counts.done - counts.succeeded;
}

function besides(item) {
  return [
    h(
      "p",
      {},
      item.outcome ? state(item.outcome) : "No result yet",
      item.lane ? [" ", named(`${item.lane.provider} ${item.lane.model} ${item.lane.mode}`, 100)] : null,
      item.status_code ? ` · HTTP ${item.status_code}` : null,
      item.request_id ? [" · ", named(item.request_id, 80)] : null,
    ),
    item.error ? alert(`${name(item.error.code, 60)}: ${name(item.error.message, 600)}`) : null,
    h(
      "div",
      { class: "two" },
      side("Request", item.request, item.request_bytes, "It is no longer kept."),
      side("Result", item.response, item.response_bytes, item.outcome ? "The provider gave no answer." : "There is none yet."),
    ),
  ];
}

/** JSON with line breaks, if it is whole; else the beginning as it is. */
function side(title, written, size, missing) {
  let shown = written;
  try {
    shown = JSON.stringify(JSON.parse(written), null, 2);
  } catch {
    // Cut off, or no JSON: it is shown as it came.
  }
  return h(
    "section",
    {},
    h("h3", {}, title, written ? h("span", { class: "note" }, ` ${bytes(size)}`) : null),
    written ? h("pre", { tabindex: 0, dir: "auto", "aria-label": title, role: "region" }, text(shown)) : h("p", { class: "quiet-text" }, missing),
  );
}
