// For operators: the accounts, and the lanes with who has which share of them.

import * as api from "./api.js";
import { h } from "./dom.js";
import { count, money, name, rate } from "./format.js";
import { empty, named, state, time } from "./marks.js";
import { section } from "./sections.js";
import { Pages, table } from "./tables.js";

const MOST_SHARES = 12;

export function lanesView(app) {
  let found = null;

  async function poll(signal) {
    found = await api.get("dashboard/api/operator/lanes", {}, signal);
    return found.lanes.length > 0;
  }

  function body() {
    if (found === null) return [app.loading()];
    if (!found.lanes.length) return [empty("No lane is in use.", "Lanes are shown while batches run on them.")];
    const columns = [
      { title: "Lane", cell: (lane) => [named(lane.provider, 40), h("span", { class: "below" }, named(lane.model, 60), ` · ${name(lane.mode, 20)}`, lane.key_owner ? [" · key of ", named(lane.key_owner, 40)] : null)] },
      { title: "State", cell: (lane) => [state(lane.state), lane.state === "closed" ? null : h("span", { class: "below" }, named((lane.reason ?? "").replaceAll("_", " "), 60), lane.since ? [" since ", time(lane.since)] : null)] },
      { title: "Calls", class: "number", cell: (lane) => [rate(lane.calls_per_second), h("span", { class: "below" }, lane.rate_per_second === null ? "no limit known" : `of ${rate(lane.rate_per_second)}`)] },
      { title: "Refused", class: "number wide", cell: (lane) => rate(lane.refused_per_second) },
      { title: "Batches", class: "number wide", cell: (lane) => count(lane.batches) },
      { title: "Shares", class: "grow", cell: shares },
    ];
    return [
      table("Lanes", columns, found.lanes, (lane) => `${lane.provider} ${lane.model} ${lane.mode} ${lane.key_owner}`),
      h("p", { class: "quiet-text", key: "note" }, found.is_complete ? `Lanes of ${found.batches === 1 ? "the open batch" : `${count(found.batches)} open batches`}.` : `Lanes of the ${count(found.batches)} oldest open batches; there are more.`),
    ];
  }

  return { title: "Lanes", poll, body };
}

/** Who gets how much of a lane while all of them want it, as a bar and in words. */
function shares(lane) {
  if (!lane.shares.length) return "–";
  const shown = lane.shares.slice(0, MOST_SHARES);
  return [
    h("div", { class: "shares", "aria-hidden": "true" }, shown.map((share) => h("span", { key: share.account_id, style: { "--share": share.share_percent / 100 } }))),
    h(
      "ul",
      { class: "below share-list" },
      shown.map((share) => h("li", { key: share.account_id }, named(share.account_id, 40), ` ${count(share.share_percent)} %, weight ${share.weight}`)),
    ),
    lane.shares.length > MOST_SHARES ? h("span", { class: "below" }, `and ${count(lane.shares.length - MOST_SHARES)} more`) : null,
  ];
}

export function accountsView(app) {
  const pages = new Pages();
  let accounts = null;

  async function poll(signal) {
    const cursor = pages.cursor;
    const page = await api.get("dashboard/api/operator/accounts", { cursor }, signal);
    if (cursor !== pages.cursor) return true;
    accounts = page.accounts;
    pages.next = page.next_cursor;
    return false;
  }

  function turn() {
    accounts = null;
    app.ask();
  }

  function body() {
    if (accounts === null) return [app.loading()];
    if (!accounts.length && pages.isFirst) return [empty("No account yet.", "`batchyard accounts create` makes one.")];
    const columns = [
      { title: "Account", class: "grow", cell: (account) => [named(account.name, 60), account.is_operator ? " · operator" : "", h("span", { class: "below id" }, name(account.id, 60))] },
      { title: "Open batches", class: "number", cell: (account) => count(account.open_batches) },
      { title: "Weight", class: "number", cell: (account) => count(account.weight) },
      { title: "Pays", cell: (account) => [account.billing, h("span", { class: "below" }, account.balance ? `${money(account.balance.available_usd)} available` : "")] },
      { title: "A day at most", class: "number wide", cell: (account) => money(account.daily_limit_usd) },
      { title: "Made", class: "wide", cell: (account) => time(account.created_at) },
    ];
    return [section("All accounts", table("Accounts", columns, accounts, (account) => account.id)), pages.shown("Pages of accounts", turn)];
  }

  return { title: "Accounts", poll, body };
}
