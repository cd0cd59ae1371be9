// The account's webhook, and its deliveries with their attempts; one that failed can be sent again.

import * as api from "./api.js";
import * as dialogs from "./dialogs.js";
import { h } from "./dom.js";
import { count, duration, name, now, text } from "./format.js";
import { ago, alert, button, empty, named, state, time } from "./marks.js";
import { section } from "./sections.js";
import { Pages, table } from "./tables.js";

const PATH = "v1/auth/account/delivery-webhook";

export function webhooksView(app) {
  const pages = new Pages();
  let webhook = null;
  let isKnown = false;
  let deliveries = null;
  let problem = "";

  async function poll(signal) {
    if (!isKnown) await look(signal);
    const after = pages.cursor;
    const page = await api.get("v1/webhooks/deliveries", { limit: 50, after }, signal);
    if (after !== pages.cursor) return true;
    deliveries = page.data;
    pages.next = page.has_more ? page.last_id : null;
    return deliveries.some((delivery) => delivery.status === "pending" && (delivery.next_attempt_at ?? 0) <= now() + 60);
  }

  async function look(signal) {
    try {
      webhook = await api.get(PATH, {}, signal);
    } catch (error) {
      if (error.status !== 404) throw error;
      webhook = null;
    }
    isKnown = true;
  }

  async function save(event) {
    event.preventDefault();
    const { url, secret, style } = event.target.elements;
    problem = "";
    try {
      webhook = await api.put(PATH, { url: url.value.trim(), style: style.value, ...(secret.value ? { secret: secret.value } : {}) });
      secret.value = "";
      app.say("The webhook was set.");
      if (webhook.secret) showOnce(webhook.secret);
    } catch (error) {
      problem = error.message;
    }
    app.draw();
  }

  function showOnce(secret) {
    dialogs.show("The webhook's secret", () => [
      h("p", {}, "It is shown this once: your receiver checks signatures with it."),
      h("code", { class: "secret" }, secret),
      h("div", { class: "actions" }, button("Copy", () => app.copy(secret, "The secret"), { class: "main" }), button("Done", dialogs.close)),
    ]);
  }

  function remove() {
    dialogs.confirm("Remove the webhook?", "Nothing is told any more about batches that end from now on.", "Remove it", async () => {
      await api.remove(PATH);
      webhook = null;
      app.say("The webhook was removed.");
    });
  }

  async function replay(delivery) {
    try {
      await api.post(`v1/webhooks/deliveries/${encodeURIComponent(delivery.id)}/replay`);
      app.say("It is sent again.");
      app.ask();
    } catch (error) {
      app.fail(error);
    }
  }

  function body() {
    if (!isKnown) return [app.loading()];
    return [form(), alert(problem), list(), pages.shown("Pages of deliveries", turn)];
  }

  function turn() {
    deliveries = null;
    app.ask();
  }

  function form() {
    return h(
      "section",
      { class: "section", key: "form" },
      h("p", { class: "quiet-text" }, webhook ? ["Every batch that ends is told to ", h("strong", {}, named(webhook.url, 200)), "."] : "No webhook is set. With one, every batch that ends is told to an address of yours."),
      h(
        "form",
        { class: "form", onsubmit: save },
        h("label", { class: "grow" }, "Address", h("input", { name: "url", type: "url", required: true, placeholder: "https://example.com/hooks/batchyard", value: webhook?.url ?? "", maxlength: 2000 })),
        h("label", {}, "Style", h("select", { name: "style", value: webhook?.style ?? "openai" }, ["openai", "batchrouter", "kushrouter"].map((style) => h("option", { key: style, value: style }, style)))),
        h("label", {}, "Secret", h("input", { name: "secret", type: "password", autocomplete: "off", placeholder: "openai: made if empty" })),
        h("button", { type: "submit", class: "main" }, webhook ? "Change it" : "Set it"),
        webhook ? button("Remove", remove, { class: "danger" }) : null,
      ),
    );
  }

  function list() {
    if (deliveries === null) return app.loading();
    if (!deliveries.length) return empty("No delivery yet.", "There is one for each batch that ends while a webhook is set.");
    const columns = [
      { title: "Event", cell: (delivery) => [named(delivery.event, 40), h("span", { class: "below id" }, h("a", { href: `#/batches/${encodeURIComponent(delivery.batch_id)}` }, named(delivery.batch_id, 40)))] },
      { title: "State", cell: (delivery) => [state(delivery.status), delivery.next_attempt_at ? h("span", { class: "below" }, next(delivery)) : null] },
      { title: "Made", class: "wide", cell: (delivery) => ago(delivery.created_at) },
      { title: "Attempts", class: "grow", cell: attempts },
      { title: "What to do", cell: (delivery) => button("Replay", () => replay(delivery), { disabled: delivery.status === "pending", "aria-label": `Replay ${delivery.event} of ${delivery.batch_id}` }) },
    ];
    return section("Deliveries", table("Deliveries", columns, deliveries, (delivery) => delivery.id));
  }

  return { title: "Webhooks", poll, body };
}

function next(delivery) {
  const wait = delivery.next_attempt_at - now();
  return wait > 0 ? `again in ${duration(wait)}` : "again soon";
}

function attempts(delivery) {
  const last = delivery.attempts.at(-1);
  if (!last) return "none yet";
  return h(
    "details",
    {},
    h("summary", {}, `${count(delivery.attempts.length)} · ${last.problem ? name(last.problem, 60).replaceAll("_", " ") : `answered ${last.status}`}`, delivery.replays ? ` · replayed ${count(delivery.replays)}` : ""),
    h(
      "ol",
      { class: "attempts" },
      delivery.attempts.map((attempt, index) =>
        h(
          "li",
          { key: `${attempt.attempted_at} ${index}` },
          time(attempt.attempted_at),
          ` · ${attempt.status ?? "no answer"} · ${count(attempt.milliseconds)} ms`,
          attempt.detail ? h("p", {}, named(attempt.detail, 300)) : null,
          attempt.reply ? h("pre", { tabindex: 0, role: "group", "aria-label": "The answer" }, text(attempt.reply, 2000)) : null,
        ),
      ),
    ),
  );
}
