// The account's API keys: made (and shown once), listed, revoked.

import * as api from "./api.js";
import * as dialogs from "./dialogs.js";
import { h } from "./dom.js";
import { name } from "./format.js";
import { alert, button, empty, named, state, time } from "./marks.js";
import { table } from "./tables.js";

const PATH = "v1/auth/account/api-keys";

export function keysView(app) {
  let keys = null;
  let problem = "";

  async function poll(signal) {
    const answer = await api.get(PATH, {}, signal);
    keys = answer.api_keys ?? answer.data ?? [];
    return false;
  }

  async function create(event) {
    event.preventDefault();
    const form = event.target;
    const days = Number(form.elements.days.value);
    problem = "";
    try {
      const made = await api.post(PATH, {
        name: form.elements.name.value.trim() || "api key",
        ...(days ? { expires_at: new Date(Date.now() + days * 86400000).toISOString() } : {}),
      });
      form.reset();
      showOnce(made);
      app.ask();
    } catch (error) {
      problem = error.message;
      app.draw();
    }
  }

  function showOnce(made) {
    dialogs.show("The new API key", () => [
      h("p", {}, "It is shown this once: keep it where your programs find it."),
      h("code", { class: "secret" }, made.api_key),
      h("div", { class: "actions" }, button("Copy", () => app.copy(made.api_key, "The API key"), { class: "main" }), button("Done", dialogs.close)),
    ]);
  }

  function revoke(key) {
    const isMine = api.keyEnds(key.hint);
    dialogs.confirm(
      `Revoke ${name(key.name, 60)}?`,
      isMine ? "You are signed in with this key: this page ends with it." : "What still uses it is refused within a minute.",
      "Revoke the key",
      async () => {
        await api.remove(`${PATH}/${encodeURIComponent(key.api_key_id)}`);
        app.say("The API key was revoked.");
        app.ask();
      },
    );
  }

  function body() {
    return [
      h(
        "form",
        { class: "form", key: "form", onsubmit: create, "aria-label": "New API key" },
        h("label", {}, "Name", h("input", { name: "name", maxlength: 100, required: true, autocomplete: "off", placeholder: "what it is for" })),
        h("label", {}, "Ends after", h("select", { name: "days" }, [["", "never"], ["7", "7 days"], ["30", "30 days"], ["365", "a year"]].map(([value, label]) => h("option", { key: value, value }, label)))),
        h("button", { type: "submit", class: "main" }, "Make a key"),
      ),
      alert(problem),
      keys === null ? app.loading() : keys.length ? list() : empty("No key is listed.", "The operator has made the one that you use."),
    ];
  }

  function list() {
    const columns = [
      { title: "Name", class: "grow", cell: (key) => [named(key.name, 80), h("span", { class: "below id" }, name(key.hint, 20), api.keyEnds(key.hint) ? " · you use it now" : "")] },
      { title: "State", cell: (key) => state(stateOf(key)) },
      { title: "Made", class: "wide", cell: (key) => time(seconds(key.created_at)) },
      { title: "Ends", class: "wide", cell: (key) => (key.expires_at ? time(seconds(key.expires_at)) : "never") },
      { title: "What to do", cell: (key) => (key.revoked_at ? "–" : button("Revoke", () => revoke(key), { class: "danger", "aria-label": `Revoke ${name(key.name, 60)}` })) },
    ];
    return table("API keys", columns, keys, (key) => key.api_key_id);
  }

  return { title: "API keys", poll, body };
}

function stateOf(key) {
  if (key.revoked_at) return "revoked";
  return key.expires_at && seconds(key.expires_at) * 1000 < Date.now() ? "expired" : "active";
}

function seconds(iso) {
  return Math.floor(Date.parse(iso) / 1000);
}
