"""A Chromium, a stub of the API, and visitors who open the page.

Whatever the browser complains of (an exception, an error or a warning on the console, anything that the content
security policy refused) fails the test in whose page it happened.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.dashboard.stub_account import furnish
from tests.dashboard.stub_api import API_KEY, StubApi

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE_MILLISECONDS = 240_000
CLOCK_STARTS = 1_790_000_000
_REFUSED_BY_THE_API = re.compile(r"^Failed to load resource: the server responded with a status of 4\d\d")

expect.set_options(timeout=PATIENCE_MILLISECONDS)


def chromium() -> str:
    """Where it is."""
    return next(filter(None, map(shutil.which, NAMES)), None) or go_without("no Chromium on PATH: run `make browser`")


def axe() -> str:
    """The script that finds what people who cannot see, or have no mouse, would stumble over."""
    return AXE.read_text() if AXE.exists() else go_without("axe is not installed: run `make clients`")


def go_without(what: str) -> NoReturn:
    """Skips the test; in CI that is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for a module, not for the session: as long as it is there, this thread has a running event loop, in which
    other tests could not run theirs."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium(), args=list(ARGUMENTS), timeout=2 * PATIENCE_MILLISECONDS
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def stub() -> Iterator[StubApi]:
    with StubApi() as stub:
        yield stub


@pytest.fixture
def api(stub: StubApi) -> StubApi:
    """The stub with a whole account."""
    furnish(stub, int(time.time()))
    return stub


Visit = Callable[..., Page]


@pytest.fixture
def complaints() -> list[str]:
    """What the browser complained of; a test that provokes some takes them out."""
    return []


@pytest.fixture
def visit(browser: Browser, api: StubApi, complaints: list[str]) -> Iterator[Visit]:
    """Opens the page at a view, signed in unless `key` is None; options are those of a browser's context. With `clock`
    its time stands still but for what the test lets pass."""
    contexts = []

    def open_page(view: str = "batches", *, key: str | None = API_KEY, clock: bool = False, **options: Any) -> Page:
        context = browser.new_context(
            **{"viewport": {"width": 1360, "height": 900}, "reduced_motion": "reduce"} | options
        )
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MILLISECONDS)
        page = context.new_page()
        listen(page, complaints)
        if clock:
            page.clock.install(time=CLOCK_STARTS)
            page.clock.pause_at(CLOCK_STARTS + 1)
        page.goto(api.page if key is None else f"{api.page}#key={key}")
        if key is not None:
            expect(page.get_by_role("heading", level=1, name="Batches")).to_be_visible()
            expect(page.locator(".who bdi")).to_have_count(1)
            expect(page.locator(".loading")).to_have_count(0)
        if view != "batches":
            go(page, view)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def listen(page: Page, complaints: list[str]) -> None:
    page.on("pageerror", lambda error: complaints.append(f"exception: {error}"))
    page.on(
        "console",
        lambda said: (
            complaints.append(f"{said.type}: {said.text}")
            if said.type in ("error", "warning") and not _REFUSED_BY_THE_API.match(said.text)
            else None
        ),
    )
    page.on("dialog", lambda dialog: (complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.add_init_script(
        "document.addEventListener('securitypolicyviolation', (event) =>"
        " console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`))"
    )


def go(page: Page, view: str) -> None:
    """To another view, until it shows what it has asked for."""
    page.evaluate(
        """hash => new Promise((done) => {
            if (location.hash === hash) done();
            addEventListener("hashchange", () => setTimeout(done), { once: true });
            location.hash = hash;
        })""",
        f"#/{view}",
    )
    expect(page.locator("main h1")).to_be_visible()
    expect(page.locator(".loading")).to_have_count(0)


def eventually(page: Page, look: Callable[[], bool], what: str) -> None:
    """Waits until `look` is true, and lets the page go on meanwhile."""
    deadline = time.monotonic() + PATIENCE_MILLISECONDS / 1000
    while not look():
        assert time.monotonic() < deadline, f"never: {what}"
        page.wait_for_timeout(20)


VIEWS = ("batches", "new", "files", "usage", "keys", "webhooks", "lanes", "accounts")
AXE = Path(__file__).parents[2] / ".build" / "node" / "node_modules" / "axe-core" / "axe.min.js"
