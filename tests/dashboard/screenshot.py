"""Makes README's picture of the dashboard from the stub's account, while its batches move:

python -m tests.dashboard.screenshot docs/dashboard.png
"""

from __future__ import annotations

import math
import sys
import time
from typing import Any

from playwright.sync_api import sync_playwright

from tests.dashboard.conftest import ARGUMENTS, chromium
from tests.dashboard.stub_account import batches, furnish
from tests.dashboard.stub_api import API_KEY, Asked, StubApi

QUESTIONS = 45
SECONDS = 2


def moving(now: int) -> Any:
    """The list at each question some items further."""
    asked_so_far = 0

    def answer(asked: Asked) -> Any:
        nonlocal asked_so_far
        asked_so_far += 1
        known = batches(now)
        for number, each in enumerate(known[:3]):
            counts = each["counts"]
            speed = (each["items_per_second"] or 0) * (1 + 0.25 * math.sin(asked_so_far / 5 + number))
            done = int(speed * SECONDS * asked_so_far)
            counts["succeeded"] += done - int(QUESTIONS * SECONDS * (each["items_per_second"] or 0))
            counts["done"] = counts["succeeded"] + counts["failed"]
        return {"batches": known, "next_cursor": None, "searched": len(known)}

    return answer


def main(target: str) -> None:
    now = int(time.time())
    with StubApi() as api, sync_playwright() as playwright:
        furnish(api, now)
        api.answers["GET", "dashboard/api/batches"] = moving(now)
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(ARGUMENTS))
        page = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme="light")
        page.clock.install(time=now)
        page.clock.pause_at(now + 1)
        page.goto(f"{api.page}#key={API_KEY}")
        for question in range(1, QUESTIONS):
            while len(api.requests("GET", "dashboard/api/batches")) < question:
                page.wait_for_timeout(20)
            page.wait_for_timeout(100)
            page.clock.run_for(1000 * SECONDS)
        page.wait_for_timeout(500)
        page.screenshot(path=target)
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1])
