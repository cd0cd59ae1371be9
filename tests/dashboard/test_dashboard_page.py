"""What the dashboard's page is like, whatever one does in it: how often it asks, what it leaves in place, how large it
grows, what strangers' texts can do to it, and whether everybody can use it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.dashboard.conftest import VIEWS, Visit, axe, chromium, eventually, go
from tests.dashboard.stub_account import (
    api_key,
    batch,
    batches,
    delivery,
    detail,
    failed_item,
    file,
    lane,
    session,
    whole_item,
)
from tests.dashboard.stub_api import Asked, StubApi

LIST = ("GET", "dashboard/api/batches")
ACTIVE, IDLE = 2_000, 15_000


class Counted:
    """A list of one batch that has one more item at each question, so that a test sees that an answer was drawn."""

    def __init__(self, api: StubApi, **fields: Any) -> None:
        self.asked = 0
        self._fields = fields
        api.answers[LIST] = self._answer

    def _answer(self, asked: Asked) -> Any:
        self.asked += 1
        shown = batch(1, int(time.time()), figures=(1_000, self.asked, 0), **self._fields)
        return {"batches": [shown], "next_cursor": None, "searched": 1}

    def drawn(self, page: Page, questions: int) -> None:
        expect(page.locator("tbody tr")).to_contain_text(f"{questions} of 1,000")
        assert self.asked == questions


@pytest.mark.parametrize(("status", "interval"), [("in_progress", ACTIVE), ("completed", IDLE)])
def test_polls_kindly(visit: Visit, api: StubApi, status: str, interval: int) -> None:
    """Every 2 seconds while a batch runs, every 15 while none does: no question before that, and one after it."""
    counted = Counted(api, status=status, ended_at=int(time.time()) if status == "completed" else None)
    page = visit(clock=True)
    for questions in range(1, 5):
        counted.drawn(page, questions)
        page.clock.run_for(interval - 50)
        counted.drawn(page, questions)
        page.clock.run_for(50)
        counted.drawn(page, questions + 1)


def test_failed_items_are_asked_for_when_there_are_more(visit: Visit, api: StubApi) -> None:
    """Not at each poll of a batch whose items succeed: a look at them reads hundreds of rows."""
    now = int(time.time())
    path = f"dashboard/api/batches/{batch(1, now)['id']}"
    api.answers["GET", f"{path}/items"] = {"items": [], "next_cursor": None, "searched": 1_000, "total": 1_000}
    api.answers["GET", path] = detail(batch(1, now, figures=(1_000, 10, 2)), now)
    page = visit(path.removeprefix("dashboard/api/"))
    for succeeded, failed in ((10, 2), (20, 2), (30, 3)):
        api.answers["GET", path] = detail(batch(1, now, figures=(1_000, succeeded, failed)), now)
        expect(page.locator("main")).to_contain_text(f"{succeeded} succeeded")
    eventually(page, lambda: len(api.requests("GET", f"{path}/items")) > 1, "another look at the items")
    assert len(api.requests("GET", f"{path}/items")) == 2


def test_asks_nothing_while_nobody_looks(visit: Visit, api: StubApi) -> None:
    """A hidden page asks nothing for ten minutes, and once as soon as it is seen again."""
    counted = Counted(api)
    page = visit(clock=True)
    counted.drawn(page, 1)
    hide = "hidden => { Object.defineProperty(document, 'hidden', { get: () => hidden, configurable: true });"
    hide += " document.dispatchEvent(new Event('visibilitychange')); }"
    page.evaluate(hide, True)
    page.clock.run_for(600_000)
    counted.drawn(page, 1)
    page.evaluate(hide, False)
    counted.drawn(page, 2)


def test_a_poll_leaves_in_place_what_is_there(visit: Visit, api: StubApi) -> None:
    """A row stays the same element, with its focus, while its figures change, rows come before it and others go; what
    is being typed stays, too."""
    now = int(time.time())
    known = batches(now)
    shown = {"batches": known[1:6], "next_cursor": None, "searched": 9}
    api.answers[LIST] = shown
    page = visit()
    row = page.locator("tbody tr").nth(2)
    expect(row).to_contain_text(known[3]["shown_id"][-8:])
    row.evaluate("row => { row.marked = true; row.querySelector('a').focus(); }")
    page.get_by_label("Id of a batch").evaluate("node => { node.value = 'bat_half' }")
    running = known[3] | {"counts": known[3]["counts"] | {"total": 700, "succeeded": 69, "done": 69}}
    shown["batches"] = [*known[:3], running, *known[5:]]
    moved = page.locator("tbody tr").nth(3)
    expect(moved).to_contain_text("69 of 700")
    assert moved.evaluate("row => row.marked && row.contains(document.activeElement)")
    assert page.get_by_label("Id of a batch").input_value() == "bat_half"


def test_a_hundred_thousand_batches_do_not_slow_it(visit: Visit, api: StubApi) -> None:
    """However many there are, a page holds 50 of them, a poll is one question, and the document grows no further."""
    now = int(time.time())

    def listed(asked: Asked) -> Any:
        start, limit = int(asked.query.get("cursor", 0)), int(asked.query["limit"])
        found = [
            batch(number, now, figures=(50_000, (number * 37) % 50_000, 9), lanes=[lane("openai", "m", "native", 9, 3)])
            for number in range(start, min(100_000, start + limit))
        ]
        return {"batches": found, "next_cursor": str(start + limit), "searched": limit}

    api.answers[LIST] = listed
    page = visit()
    for number in range(2, 12):
        page.get_by_role("button", name="Older").click()
        expect(page.get_by_text(f"Page {number}", exact=True)).to_be_visible()
        expect(page.locator("tbody tr")).to_have_count(50)
    assert page.evaluate("document.querySelectorAll('*').length") < 4_000
    asked = api.requests(*LIST)
    assert {each.query["limit"] for each in asked} == {"50"}
    before = len(asked)
    eventually(page, lambda: len(api.requests(*LIST)) >= before + 2, "two polls")
    assert page.evaluate("document.querySelectorAll('*').length") < 4_000


def test_a_million_items_do_not_slow_it(visit: Visit, api: StubApi) -> None:
    """A batch of a million items, all of them failed: a page of them is asked for, shown and kept, never more."""
    one = batch(1, int(time.time()), figures=(1_000_000, 0, 999_000))
    path = f"dashboard/api/batches/{one['id']}"
    api.answers["GET", path] = detail(one, int(time.time()))

    def items(asked: Asked) -> Any:
        start, limit = int(asked.query.get("cursor", 0)), int(asked.query["limit"])
        found = [failed_item(number, f"item-{number}") for number in range(start, start + limit)]
        return {"items": found, "next_cursor": str(start + limit), "searched": start + limit, "total": 1_000_000}

    api.answers["GET", f"{path}/items"] = items
    page = visit(f"batches/{one['id']}")
    table = page.get_by_role("table", name="Items", exact=True)
    for number in range(2, 8):
        page.get_by_role("button", name="Older").click()
        expect(table.get_by_role("button", name=f"item-{number * 50 - 50}", exact=True)).to_be_visible()
        expect(table.locator("tbody tr")).to_have_count(50)
    assert {each.query["limit"] for each in api.requests("GET", f"{path}/items")} == {"50"}
    assert page.evaluate("document.querySelectorAll('*').length") < 3_000


DAMAGE = (Path(__file__).parent / "damage.js").read_text()
HOSTILE = (
    "<img src=x onerror=\"window.pwned=1;alert('a')\">",
    "</script><script>window.pwned=1</script>",
    "javascript:window.pwned=1",
    "\"'><svg onload=window.pwned=1>",
    "\u202egnp.exe \u2066 \u0000\u0007\u001b[31m\u200b name",
    "<style>*{display:none}</style>{{7*7}}${7*7}",
    "x" * 10_000,
)


@pytest.mark.parametrize(
    "text", HOSTILE, ids=["handler", "script", "address", "attribute", "controls", "style", "long"]
)
def test_strangers_texts_never_become_markup(visit: Visit, api: StubApi, text: str) -> None:
    """Whatever a name, a message or a content holds is shown as text, in every view: no element, script or address
    comes of it, no direction turns, nothing moves off the page."""
    make_hostile(api, text)
    page = visit()
    one = batches(int(time.time()))[0]["id"]
    for view in (*VIEWS, f"batches/{one}"):
        go(page, view)
        look_for_damage(page, view, text)
    page.get_by_role("region", name="Items", exact=True).get_by_role("button").first.click()
    expect(page.get_by_role("dialog").locator("pre")).to_have_count(2)
    look_for_damage(page, "an item", text)
    page.keyboard.press("Escape")
    go(page, "files")
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    look_for_damage(page, "a question", text)
    page.keyboard.press("Escape")
    go(page, "new")
    wrong = json.dumps({"custom_id": text, "method": text, "url": text, "body": {"model": text}}).encode()
    page.get_by_label("Choose a file").set_input_files(
        {"name": text.replace("/", "_").replace("\x00", "")[:200], "mimeType": "text/plain", "buffer": wrong}
    )
    expect(page.locator(".wrong-lines li")).to_have_count(1)
    look_for_damage(page, "a wrong file", text)


def make_hostile(api: StubApi, text: str) -> None:
    now = int(time.time())
    wait = {"provider": text, "model": text, "state": "blocked", "since": now, "message": text}
    one = batches(now)[0] | {
        "shown_id": text,
        "surface": text,
        "model": text,
        "endpoint": text,
        "retries": {text: 3},
        "waiting_for": [wait],
        "lanes": [lane(text, text, "realtime", 10, 5, reason=text)],
        "input_file_id": text,
    }
    error = {"code": text, "message": text, "line": 1, "param": text}
    event = {"at": now, "kind": text, "lane": {"provider": text, "model": text, "mode": text}, "reason": text}
    whole = detail(one, now) | {"metadata": {text: text}, "errors": [error], "timeline": [event | {"detail": text}]}
    item = failed_item(1, text, text) | {"request_id": text}
    known = {"data": [file(1, now, filename=text, purpose=text)], "has_more": False, "last_id": None}
    attempt = {"attempted_at": now, "milliseconds": 1, "status": 500, "problem": text, "detail": text, "reply": text}
    sent = delivery(1, now, event=text, url=text, batch_id=text, attempts=[attempt])
    usage = {"batches": 1, "succeeded": 1, "failed": 0, "cost_usd": "1", "realtime_usd": "2"}
    day = usage | {"day": time.strftime("%Y-%m-%d", time.gmtime(now)), "cancelled": 0, "expired": 0}
    tokens = {"input_tokens": 1, "output_tokens": 1}
    operators_lane = api.answers["GET", "dashboard/api/operator/lanes"]["lanes"][0] | {
        "provider": text,
        "model": text,
        "key_owner": text,
        "state": "open",
        "reason": text,
        "shares": [{"account_id": text, "weight": 1, "batches": 1, "share_percent": 100}],
    }
    account = api.answers["GET", "dashboard/api/operator/accounts"]["accounts"][0] | {"name": text, "id": text}
    api.answers |= {
        ("GET", "dashboard/api/session"): session(account={"id": text, "name": text, "weight": 1}),
        LIST: {"batches": [one], "next_cursor": None, "searched": 1},
        ("GET", "dashboard/api/batches/*"): whole,
        ("GET", "dashboard/api/batches/*/items"): {"items": [item], "next_cursor": None, "searched": 1, "total": 1},
        ("GET", "dashboard/api/batches/*/items/*"): whole_item(item)
        | {"request": text, "response": json.dumps([text])},
        ("GET", "dashboard/api/usage"): {"days": [day | tokens], "models": [usage | {"model": text}]},
        ("GET", "v1/files"): known,
        ("GET", "v1/auth/account/api-keys"): {"api_keys": [api_key(1, name=text, hint=text[:20])]},
        ("GET", "v1/auth/account/delivery-webhook"): {"url": text, "style": "openai", "secret": None},
        ("GET", "v1/webhooks/deliveries"): {"data": [sent], "has_more": False, "last_id": None},
        ("GET", "dashboard/api/operator/lanes"): {"lanes": [operators_lane], "batches": 1, "is_complete": True},
        ("GET", "dashboard/api/operator/accounts"): {"accounts": [account], "next_cursor": None},
    }


def look_for_damage(page: Page, place: str, text: str) -> None:
    found = page.evaluate(DAMAGE)
    nothing = {"pwned": None, "foreign": [], "handlers": [], "addresses": [], "controls": 0, "wide": []}
    assert found == nothing, place
    if 0 < len(text) < 100 and "\u202e" not in text:
        assert page.evaluate("text => document.body.textContent.includes(text)", text[:30]), place


@pytest.mark.parametrize("view", VIEWS)
def test_on_a_phone(visit: Visit, view: str) -> None:
    """Nothing is wider than a phone but what scrolls by itself; every control is large enough for a finger."""
    page = visit(view, viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    small = page.evaluate(
        """() => [...document.querySelectorAll("button, input:not([type=file]), select, nav a")]
            .filter((each) => each.checkVisibility() && each.getBoundingClientRect().height < 24)
            .map((each) => each.outerHTML)"""
    )
    assert small == []


@pytest.mark.parametrize("width", [768, 1024, 1280])
def test_on_smaller_screens(visit: Visit, width: int) -> None:
    """Whatever the width of a screen, nothing stands beyond its edge."""
    page = visit(viewport={"width": width, "height": 800})
    for view in (*VIEWS, f"batches/{batches(int(time.time()))[0]['id']}"):
        go(page, view)
        look_for_damage(page, view, "")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(visit: Visit, scheme: str) -> None:
    """Every view, with its dialogs, errors and hidden tables, in light and in dark."""
    page = visit(color_scheme=scheme, bypass_csp=True, viewport={"width": 1360, "height": 2400})
    page.add_script_tag(content=axe())
    assert (
        page.evaluate("getComputedStyle(document.body).backgroundColor")
        == {
            "light": "rgb(246, 247, 249)",
            "dark": "rgb(16, 19, 24)",
        }[scheme]
    )
    known = batches(int(time.time()))
    for view in (*VIEWS, *(f"batches/{each['id']}" for each in (known[0], known[2], known[4], known[6]))):
        go(page, view)
        for closed in page.locator("details:not([open]) > summary").all():
            closed.click()
        assert violations(page) == [], view
    go(page, "new")
    page.get_by_label("Choose a file").set_input_files({"name": "a", "mimeType": "text/plain", "buffer": b"{\n"})
    expect(page.locator(".wrong-lines li")).to_have_count(1)
    assert violations(page) == [], "a wrong file"
    go(page, f"batches/{known[0]['id']}")
    page.get_by_role("button", name="product-00017").click()
    expect(page.get_by_role("dialog").locator("pre")).to_have_count(2)
    assert violations(page) == [], "an item"
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("API key")).to_be_visible()
    assert violations(page) == [], "sign-in"


@pytest.mark.parametrize("tool", [axe, chromium])
def test_ci_does_not_go_without(tool: Callable[[], str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without axe, or without a browser, these tests are skipped on one's own machine; in CI they fail."""
    monkeypatch.setattr("tests.dashboard.conftest.AXE", tmp_path / "axe.min.js")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception):
        tool()
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception):
        tool()


def violations(page: Page) -> list[Any]:
    found: list[Any] = page.evaluate(
        """async () => (await axe.run(document)).violations.map(({ id, nodes }) =>
            [id, nodes.slice(0, 3).map((node) => [node.html.slice(0, 200), node.failureSummary.slice(0, 300)])])"""
    )
    return found


def test_complaints_are_noticed(visit: Visit, complaints: list[str]) -> None:
    """The canary of this folder: what the policy refuses, and an exception, are complaints, and each would fail a
    test."""
    page = visit()
    page.evaluate(
        """() => {
            const script = document.createElement("div");
            script.setAttribute("style", "color: red");
            setTimeout(() => { throw new Error("thrown on purpose"); });
        }"""
    )
    eventually(page, lambda: any("policy" in each.lower() for each in complaints), "a refused style")
    eventually(page, lambda: any("thrown on purpose" in each for each in complaints), "an exception")
    complaints.clear()
