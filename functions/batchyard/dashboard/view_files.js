// The account's files: what they are, when they expire, downloads, deleting.

import * as api from "./api.js";
import * as dialogs from "./dialogs.js";
import { h } from "./dom.js";
import { download } from "./download.js";
import { bytes, count, name } from "./format.js";
import { button, empty, named, time } from "./marks.js";
import { Pages, table } from "./tables.js";

export function filesView(app) {
  const pages = new Pages();
  let files = null;

  async function poll(signal) {
    const after = pages.cursor;
    const page = await api.get("v1/files", { limit: 50, after }, signal);
    if (after !== pages.cursor) return true;
    files = page.data;
    pages.next = page.has_more ? page.last_id : null;
    return false;
  }

  function turn() {
    files = null;
    app.ask();
  }

  function askToDelete(file) {
    dialogs.confirm(
      `Delete ${name(file.filename, 60)}?`,
      "Its bytes are deleted at once. A batch that still reads it as its input ends.",
      "Delete the file",
      async () => {
        await api.remove(`v1/files/${encodeURIComponent(file.id)}`);
        app.say("The file was deleted.");
        app.ask();
      },
    );
  }

  function body() {
    if (files === null) return [app.loading()];
    if (!files.length && pages.isFirst) return [empty("No file yet.", h("a", { href: "#/new" }, "Drop one"), " to make a batch of it.")];
    const columns = [
      { title: "File", class: "grow", cell: (file) => [named(file.filename, 60), h("span", { class: "below id" }, name(file.id))] },
      { title: "For", class: "wide", cell: (file) => named(file.purpose.replaceAll("_", " "), 30) },
      { title: "Size", class: "number", cell: (file) => [bytes(file.bytes), file.num_rows ? h("span", { class: "below" }, `${count(file.num_rows)} lines`) : null] },
      { title: "Made", class: "wide", cell: (file) => [time(file.created_at), file.expires_at ? h("span", { class: "below" }, "until ", time(file.expires_at)) : null] },
      {
        title: "What to do",
        cell: (file) =>
          h(
            "div",
            { class: "actions" },
            button("Download", () => download(app, file.id), { "aria-label": `Download ${name(file.filename, 60)}` }),
            button("Delete", () => askToDelete(file), { class: "danger", "aria-label": `Delete ${name(file.filename, 60)}` }),
          ),
      },
    ];
    return [table("Files", columns, files, (file) => file.id), pages.shown("Pages of files", turn)];
  }

  return { title: "Files", poll, body };
}
