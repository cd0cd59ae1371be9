"""What people do in the dashboard, in a real Chromium against a stub of the API."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from playwright.sync_api import FilePayload, Page, expect

from tests.dashboard.conftest import Visit, eventually, go
from tests.dashboard.stub_account import LIMITS, api_key, batch, batches, delivery, detail, failed_item, file, session
from tests.dashboard.stub_api import API_KEY, Asked, StubApi


def payload(*lines: Any, name: str = "requests.jsonl") -> FilePayload:
    written = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    return {"name": name, "mimeType": "application/jsonl", "buffer": written.encode()}


def line(custom_id: str, **fields: Any) -> dict[str, Any]:
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello."}]}
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body} | fields


def test_signing_in_and_out(visit: Visit, api: StubApi) -> None:
    """A key from the address is taken out of it at once; a wrong one is said to be wrong; a key that is not to be kept
    is gone with the page; after signing out nothing of it is left."""
    page = visit()
    assert "key" not in page.url
    assert API_KEY not in page.evaluate(
        "JSON.stringify(history.state) + location.href + document.documentElement.outerHTML"
    )
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Batchyard")).to_be_visible()
    assert page.evaluate("sessionStorage.length + localStorage.length + document.cookie.length") == 0
    page.get_by_label("API key").fill("by_live_wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("not accepted")
    page.get_by_label("API key").fill(API_KEY)
    page.get_by_label("Keep it").uncheck()
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Batches")).to_be_visible()
    assert page.evaluate("sessionStorage.length + localStorage.length") == 0
    page.reload()
    expect(page.get_by_label("API key")).to_be_visible()


def test_the_list_moves_as_batches_do(visit: Visit, api: StubApi) -> None:
    """Progress, speed, retries, cost, time left and why one waits; the next poll shows what has changed, and that a
    batch has ended is said aloud."""
    now = int(time.time())
    running = batch(7, now, figures=(200, 50, 1), retries={"throttled": 8, "server_error": 2})
    shown = {"batches": [running], "next_cursor": None, "searched": 1}
    api.answers["GET", "dashboard/api/batches"] = shown
    page = visit()
    row = page.locator("tbody tr")
    for text in ("running", "51 of 200", "1 failed", "10", "50 % less", "left"):
        expect(row).to_contain_text(text)
    assert row.get_by_role("progressbar").first.get_attribute("aria-valuetext") == "51 of 200, 1 failed"
    expect(page.get_by_role("list", name="Retries by reason").get_by_role("listitem")).to_have_count(2)
    wait = {"provider": "openai", "model": "m", "state": "blocked", "since": now, "message": "No money."}
    shown["batches"] = [running | {"counts": running["counts"] | {"succeeded": 99, "done": 100}, "waiting_for": [wait]}]
    expect(row).to_contain_text("100 of 200")
    expect(row).to_contain_text("blocked")
    shown["batches"] = [running | {"status": "completed", "is_terminal": True, "ended_at": now}]
    expect(page.get_by_role("status")).to_contain_text("is completed")
    expect(row).to_contain_text("took 2 h")


def test_filters_pages_and_ways_to_a_batch(visit: Visit, api: StubApi) -> None:
    """Statuses are asked of the API; a list goes on by its cursor, there and back; an id leads to its batch."""
    now = int(time.time())
    page = visit()
    page.get_by_role("link", name="Failed").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    assert api.requests("GET", "dashboard/api/batches")[-1].query["status"] == "failed"

    def paged(asked: Asked) -> Any:
        start = int(asked.query.get("cursor", 0))
        ended = {"status": "completed", "ended_at": now}
        found = [batch(number, now, **ended) for number in range(start, start + 5)]
        return {"batches": found, "next_cursor": str(start + 5) if start < 10 else None, "searched": 5}

    api.answers["GET", "dashboard/api/batches"] = paged
    go(page, "batches")
    first = page.locator("tbody th").first
    beginning = first.inner_text()
    page.get_by_role("button", name="Older").click()
    expect(page.get_by_text("Page 2")).to_be_visible()
    expect(first).not_to_have_text(beginning)
    page.get_by_role("button", name="Newer").click()
    expect(first).to_have_text(beginning, use_inner_text=True)
    known = batches(now)[4]
    page.get_by_label("Id of a batch").fill(known["shown_id"])
    page.get_by_label("Id of a batch").press("Enter")
    expect(page.locator("main")).to_contain_text(known["shown_id"])


def test_one_batch(visit: Visit, api: StubApi) -> None:
    """Its lanes, why it waits, when it is expected to be done, its life as a timeline, downloads, and cancelling after
    a question."""
    known = batches(int(time.time()))
    page = visit(f"batches/{known[0]['id']}")
    main = page.locator("main")
    for text in ("throttled", "31,556 of 48,200", "below realtime", "Expected to be done", "Deadline", "249"):
        expect(main).to_contain_text(text)
    expect(page.get_by_role("region", name="Lanes").get_by_role("row")).to_have_count(3)
    timeline = page.locator(".timeline li")
    expect(timeline.first).to_contain_text("Made")
    expect(timeline.last).to_contain_text("Deadline")
    expect(timeline.filter(has_text="The first results were stored")).to_have_count(1)
    told = timeline.locator("strong").all_inner_texts()
    first, ended = (
        told.index("The first results were stored"),
        told.index("A job of the provider's is over; what it did was stored"),
    )
    assert told.index("Sent to the provider as a job") < first < ended < told.index("Waits")
    expect(page.get_by_role("img", name="Items per second")).to_be_visible()
    api.answers["POST", f"v1/batches/{known[0]['id']}/cancel"] = {}
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="No, leave it").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert not api.requests("POST", f"v1/batches/{known[0]['id']}/cancel")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel the batch").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert len(api.requests("POST", f"v1/batches/{known[0]['id']}/cancel")) == 1
    api.answers["GET", "dashboard/api/files/file-output87/download"] = {"url": f"{api.page}?download", "filename": "o"}
    go(page, f"batches/{known[4]['id']}")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download results").click()
    assert download.value.url == f"{api.page}?download"
    go(page, f"batches/{known[6]['id']}")
    expect(page.get_by_role("region", name="Errors of the input file")).to_contain_text("not parseable")
    go(page, "batches/batch_nowhere")
    expect(page.get_by_role("alert")).to_contain_text("no such batch")


def test_failed_items_and_the_search_for_one(visit: Visit, api: StubApi) -> None:
    """Failed items with their errors, also if the first look finds none of them; a search goes on by its cursor until
    the item is found, and says how far it is; a request is shown beside its result."""
    now = int(time.time())
    one = batch(1, now, figures=(1_000_000, 700_000, 3))
    path = f"dashboard/api/batches/{one['id']}"
    api.answers["GET", path] = detail(one, now)

    def items(asked: Asked) -> Any:
        if "custom_id" not in asked.query and "cursor" not in asked.query:
            return {"items": [], "next_cursor": "500", "searched": 500_000, "total": 1_000_000}
        if "custom_id" not in asked.query:
            return {
                "items": [failed_item(4, "product-4")],
                "next_cursor": None,
                "searched": 1_000_000,
                "total": 1_000_000,
            }
        seen = int(asked.query.get("cursor", 0)) + 50_000
        found = (
            [failed_item(17, asked.query["custom_id"])]
            if seen >= 400_000 and asked.query["custom_id"] != "none"
            else []
        )
        more = None if found or seen >= 1_000_000 else str(seen)
        return {"items": found, "next_cursor": more, "searched": seen, "total": 1_000_000}

    api.answers["GET", f"{path}/items"] = items
    page = visit(f"batches/{one['id']}")
    table = page.get_by_role("region", name="Items", exact=True)
    expect(table).to_contain_text("The model does not take 'top_k'.")
    search = page.get_by_label("custom_id of an item")
    search.fill("sought & <found>")
    search.press("Enter")
    expect(table.get_by_role("button", name="sought & <found>")).to_be_visible()
    assert len([each for each in api.requests("GET", f"{path}/items") if "custom_id" in each.query]) == 8
    table.get_by_role("button", name="sought & <found>").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("region", name="Request")).to_contain_text('"content": "Describe the blue teapot."')
    expect(dialog.get_by_role("region", name="Result")).to_contain_text('"code": "unknown_parameter"')
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(table.get_by_role("button", name="sought & <found>")).to_be_focused()
    search.fill("none")
    search.press("Enter")
    expect(page.get_by_text("No such item.")).to_be_visible()
    page.get_by_role("button", name="Show the failed ones").click()
    expect(table).to_contain_text("product-4")


def test_a_dropped_file_is_checked_before_anything_is_sent(visit: Visit, api: StubApi) -> None:
    """Each kind of mistake is shown on its line, with the line; nothing is uploaded. The whole file is then sent after
    it was mended, with what it is expected to cost, and its batch is shown."""
    page = visit("new")
    wrong = payload(
        line("a"),
        "{no json",
        line("a"),
        line("b", url="/v1/embeddings"),
        line("", method="POST"),
        line("c", body={"model": "gpt-4o-mini", "stream": True}),
        line("d", body={"model": "no-such-model"}),
        "",
        '"text"',
        line("e", method="GET"),
    )
    page.get_by_label("Choose a file").set_input_files(wrong)
    errors = page.locator(".wrong-lines li")
    expect(errors).to_have_count(8)
    told = [" ".join(text.split()) for text in errors.all_inner_texts()]
    for number, code in zip(
        (2, 3, 4, 5, 6, 7, 9, 10),
        (
            "invalid_json_line",
            "duplicate_custom_id",
            "url_mismatch",
            "invalid_custom_id",
            "unsupported_parameter",
            "model_not_found",
            "invalid_json_line",
            "invalid_method",
        ),
        strict=True,
    ):
        assert any(text.startswith(f"line {number} ") and code in text for text in told), (number, code, told)
    expect(page.get_by_role("button", name="Send")).to_have_count(0)
    assert not [each for each in api.asked if each.method == "POST"]

    now = int(time.time())
    made = batch(3, now)
    plan = {
        "expected_cost_usd": "0.0123",
        "realtime_cost_usd": "0.0246",
        "expected_finish_at": now + 600,
        "notes": ["Input tokens are estimated from the requests' length."],
    }
    api.answers["POST", "v1/plan"] = plan
    api.answers["POST", "v1/files"] = {"id": "file-new"}
    api.answers["POST", "v1/batches"] = {"id": made["id"]}
    api.answers["GET", f"dashboard/api/batches/{made['id']}"] = detail(made, now)
    drop(page, payload(*[line(f"item-{number}") for number in range(300)]))
    expect(page.get_by_text("$0.0123")).to_be_visible()
    page.get_by_label("Name").fill("nightly")
    page.get_by_role("button", name="Send 300 requests").click()
    expect(page.locator("main")).to_contain_text(made["shown_id"])
    [form] = api.requests("POST", "v1/files")
    assert form.body.count(b'"custom_id"') == 300 and b'name="purpose"' in form.body
    [asked] = api.requests("POST", "v1/batches")
    assert asked.json() == {
        "input_file_id": "file-new",
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
        "metadata": {"name": "nightly"},
    }


def drop(page: Page, file: FilePayload) -> None:
    """As a person drops a file from the desktop."""
    page.evaluate(
        """([name, text]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([text], name));
            const place = document.querySelector(".drop");
            for (const kind of ["dragover", "drop"]) {
                place.dispatchEvent(new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true }));
            }
        }""",
        [file["name"], file["buffer"].decode()],
    )


FORMS: list[tuple[dict[str, Any], str, dict[str, Any], str]] = [
    (
        {"custom_id": "a", "params": {"model": "claude-haiku-4-5", "max_tokens": 9, "messages": []}},
        "v1/messages/batches",
        {"requests": [], "input_file_id": "file-new", "settings": {"concurrency": 3}},
        "anthropic-version",
    ),
    (
        {"customer_item_id": "a", "model": "m", "input": {"messages": [1]}},
        "v1/batches",
        {"input_file_id": "file-new", "quote_id": "quote_1", "metadata": {"name": "nightly"}},
        "idempotency-key",
    ),
    (
        {"model": "m", "messages": [{"role": "user", "content": "x"}]},
        "api/v1/batches",
        {"input_file_id": "file-new", "metadata": {"name": "nightly"}, "settings": {"concurrency": 3}},
        "authorization",
    ),
]
"""A line in another dialect's form, and where and how a batch is made of a file of such lines."""


@pytest.mark.parametrize(("good", "path", "body", "header"), FORMS, ids=["anthropic", "batchrouter", "kushrouter"])
def test_a_file_in_another_dialects_form(
    visit: Visit, api: StubApi, good: dict[str, Any], path: str, body: dict[str, Any], header: str
) -> None:
    """It is checked by that dialect's rules, and becomes a batch of that dialect, with what that takes."""
    made = batch(3, int(time.time()))
    costs = {"expected_cost_usd": "1", "realtime_cost_usd": "2"}
    api.answers["GET", "v1/models"] = {"data": [{"id": "m"}, {"id": "claude-haiku-4-5"}]}
    api.answers["POST", "v1/plan"] = costs | {"expected_finish_at": 1, "notes": []}
    api.answers["POST", "v1/quotes/model"] = {"quote_id": "quote_1"}
    api.answers["POST", "v1/files"] = {"id": "file-new"}
    api.answers["POST", path] = {"batch": {"id": made["id"]}} if "customer_item_id" in good else {"id": made["id"]}
    api.answers["GET", f"dashboard/api/batches/{made['id']}"] = detail(made, int(time.time()))
    page = visit("new")
    page.get_by_label("Choose a file").set_input_files(payload(json.dumps(good)))
    expect(page.get_by_text("form", exact=False).last).to_be_visible()
    for label, value in (("Name", "nightly"), ("Calls in flight", "3")):
        if page.get_by_label(label).count():
            page.get_by_label(label).fill(value)
    page.get_by_role("button", name="Send 1 requests").click()
    expect(page.locator("main")).to_contain_text(made["shown_id"])
    [asked] = api.requests("POST", path)
    assert asked.json() == body and asked.headers[header]


def test_a_large_file_goes_in_parts(visit: Visit, api: StubApi) -> None:
    """Above what one request takes, in parts of that size, each tried again if it is lost, joined in their order."""
    lost: list[Asked] = []

    def part(asked: Asked) -> Any:
        if not lost:
            lost.append(asked)
            raise ConnectionAbortedError
        return {"id": f"part_{len(api.requests('POST', 'v1/uploads/upload_1/parts'))}"}

    made = batch(3, int(time.time()))
    api.answers["POST", "v1/plan"] = lambda asked: {
        "expected_cost_usd": "1",
        "realtime_cost_usd": "2",
        "expected_finish_at": int(time.time()),
        "notes": [],
    }
    api.answers["POST", "v1/uploads"] = {"id": "upload_1"}
    api.answers["POST", "v1/uploads/upload_1/parts"] = part
    api.answers["POST", "v1/uploads/upload_1/complete"] = {"file": {"id": "file-joined"}}
    api.answers["POST", "v1/batches"] = {"id": made["id"]}
    api.answers["GET", f"dashboard/api/batches/{made['id']}"] = detail(made, int(time.time()))
    api.answers["GET", "dashboard/api/session"] = session(deployment=LIMITS | {"max_upload_part_bytes": 40_000})
    page = visit("new")
    text = "x" * 1_000
    lines = [line(f"item-{number}", body={"model": "gpt-4o-mini", "input": text}) for number in range(90)]
    page.get_by_label("Choose a file").set_input_files(payload(*lines))
    page.get_by_role("button", name="Send 90 requests").click()
    expect(page.locator("main")).to_contain_text(made["shown_id"])
    parts = api.requests("POST", "v1/uploads/upload_1/parts")
    sizes = [len(each.body) for each in parts]
    assert len(sizes) == 4 and sizes[0] == sizes[1] == sizes[2] and 40_000 < max(sizes) < 41_000
    [complete] = api.requests("POST", "v1/uploads/upload_1/complete")
    assert complete.json() == {"part_ids": ["part_2", "part_3", "part_4"]}


def test_files(visit: Visit, api: StubApi) -> None:
    """They are listed, and deleted after a question; a refusal is shown in the question."""
    now = int(time.time())
    files = {"data": [file(1, now), file(2, now, filename="second.jsonl")], "has_more": False, "last_id": None}
    api.answers["GET", "v1/files"] = files
    page = visit("files")
    expect(page.locator("tbody tr")).to_have_count(2)
    page.get_by_role("button", name="Delete second.jsonl").click()
    page.get_by_role("button", name="Delete the file").click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("Invalid URL")

    def delete(asked: Asked) -> Any:
        files["data"] = [file(1, now)]
        return {"deleted": True}

    api.answers["DELETE", f"v1/files/{file(2, now)['id']}"] = delete
    page.get_by_role("button", name="Delete the file").click()
    expect(page.locator("tbody tr")).to_have_count(1)


def test_usage(visit: Visit, api: StubApi) -> None:
    """Columns for each day of the span, also for days of which nothing is told; the same as a table."""
    page = visit("usage")
    expect(page.locator(".columns").first.locator("rect.front")).to_have_count(30)
    expect(page.get_by_role("list", name="Spend by model")).to_contain_text("claude-haiku-4-5")
    page.get_by_text("The same as a table").click()
    expect(page.get_by_role("table", name="Usage by day")).to_be_visible()
    page.get_by_role("link", name="7 days").click()
    expect(page.locator(".columns").first.locator("rect.front")).to_have_count(7)


def test_api_keys(visit: Visit, api: StubApi) -> None:
    """One is made and shown once, which one is used now is said, one is revoked after a question."""
    keys = {"api_keys": [api_key(1, hint="…1234", name="mine")]}
    api.answers["GET", "v1/auth/account/api-keys"] = keys

    def make(asked: Asked) -> Any:
        keys["api_keys"] = [api_key(2, name=asked.json()["name"]), *keys["api_keys"]]
        return {"api_key": "by_live_secret", "api_key_id": "key_2", "name": asked.json()["name"], "expires_at": None}

    def revoke(asked: Asked) -> Any:
        keys["api_keys"] = [keys["api_keys"][0] | {"revoked_at": "2026-11-02T10:00:00Z"}, *keys["api_keys"][1:]]
        return {}

    api.answers["POST", "v1/auth/account/api-keys"] = make
    api.answers["DELETE", "v1/auth/account/api-keys/key_2"] = revoke
    page = visit("keys")
    expect(page.locator("tbody tr")).to_contain_text("you use it now")
    page.get_by_label("Name").fill("nightly")
    page.get_by_label("Ends after").select_option("30 days")
    page.get_by_role("button", name="Make a key").click()
    expect(page.get_by_role("dialog")).to_contain_text("by_live_secret")
    page.get_by_role("button", name="Done").click()
    expect(page.locator("tbody tr")).to_have_count(2)
    assert "by_live_secret" not in page.content()
    assert "expires_at" in api.requests("POST", "v1/auth/account/api-keys")[0].json()
    page.get_by_role("button", name="Revoke nightly").click()
    page.get_by_role("button", name="Revoke the key").click()
    expect(page.locator("tbody tr").first).to_contain_text("revoked")


def test_webhooks_and_replay(visit: Visit, api: StubApi) -> None:
    """A webhook is set, its made secret shown once; a delivery shows its attempts, and is sent again."""
    now = int(time.time())
    del api.answers["GET", "v1/auth/account/delivery-webhook"]
    deliveries = {"data": [delivery(1, now)], "has_more": False, "last_id": None}
    api.answers["GET", "v1/webhooks/deliveries"] = deliveries

    def replay(asked: Asked) -> Any:
        deliveries["data"] = [delivery(1, now, status="delivered", replays=1)]
        return deliveries["data"][0]

    api.answers["POST", "v1/webhooks/deliveries/evt_1/replay"] = replay
    api.answers["PUT", "v1/auth/account/delivery-webhook"] = lambda asked: asked.json() | {"secret": "whsec_made"}
    page = visit("webhooks")
    expect(page.get_by_text("No webhook is set")).to_be_visible()
    page.get_by_label("Address").fill("https://hooks.example.com/a")
    page.get_by_role("button", name="Set it").click()
    expect(page.get_by_role("dialog")).to_contain_text("whsec_made")
    page.get_by_role("button", name="Done").click()
    expect(page.get_by_text("Every batch that ends is told to")).to_contain_text("https://hooks.example.com/a")
    page.get_by_text("bad status").click()
    expect(page.locator(".attempts li").first).to_contain_text("The receiver answered 503.")
    expect(page.locator(".attempts pre").first).to_have_text("<h1>Service unavailable</h1>")
    page.get_by_role("button", name="Replay").click()
    expect(page.locator("tbody tr")).to_contain_text("delivered")


def test_operators_views(visit: Visit, api: StubApi) -> None:
    """Lanes with their state and shares, accounts with what they have; nobody else is shown the way there."""
    page = visit("lanes")
    rows = page.locator("tbody tr")
    for text in ("well", "43.2/s", "75 %, weight 3"):
        expect(rows.first).to_contain_text(text)
    for text in ("blocked", "out of money", "no limit known"):
        expect(rows.last).to_contain_text(text)
    go(page, "accounts")
    expect(rows.first).to_contain_text("$412.50 available")
    api.answers["GET", "dashboard/api/session"] |= {"is_operator": False}
    page.reload()
    expect(page.get_by_text("search team").first).to_be_visible()
    expect(page.get_by_role("link", name="Lanes")).to_have_count(0)


def test_trouble_is_said_and_passes(visit: Visit, api: StubApi) -> None:
    """If the API refuses or cannot be reached, what was shown stays, with what is wrong above it, until it passes."""
    page = visit()
    shown = page.locator("tbody tr")
    expect(shown).to_have_count(10)
    answer = api.answers.pop(("GET", "dashboard/api/batches"))
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("Invalid URL")
    api.answers["GET", "dashboard/api/batches"] = answer
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(shown).to_have_count(10)
    expect(page.get_by_role("alert")).to_have_count(0)


def test_everything_by_keyboard(visit: Visit, api: StubApi) -> None:
    """The skip link, the views, a batch, its question and back: no pointer needed, the focus always to be seen."""
    page = visit()
    expect(page.locator("tbody tr")).to_have_count(10)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="To the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_be_focused()
    wanted = page.locator("tbody a").first
    for _ in range(30):
        page.keyboard.press("Tab")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
        if wanted.evaluate("node => node === document.activeElement"):
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1, name="Batch", exact=True)).to_be_focused()
    cancel = page.get_by_role("button", name="Cancel")
    cancel.focus()
    page.keyboard.press("Space")
    expect(page.get_by_role("dialog")).to_be_visible()
    assert page.evaluate("document.querySelector('dialog').contains(document.activeElement)")
    page.keyboard.press("Escape")
    expect(cancel).to_be_focused()
    eventually(page, lambda: page.title() == "Batch · Batchyard", "the title says where one is")
