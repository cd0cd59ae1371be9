"""The dashboard as it is deployed, in a real Chromium: the page, its headers, its API and the product behind them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from local.cloud import LocalCloud
from tests.customer import Customer, chat_line, jsonl
from tests.dashboard.conftest import PATIENCE_MILLISECONDS, browser, go, listen
from tests.webhook_receiver import WebhookReceiver

__all__ = ["browser"]
ENDS_MILLISECONDS = 600_000


@pytest.fixture
def page(cloud: LocalCloud, customer: Customer, browser: Browser) -> Iterator[Page]:
    """The page, signed in by its address as `make local` prints it. Whatever the browser complains of fails the
    test."""
    complaints: list[str] = []
    context = browser.new_context()
    context.set_default_timeout(2 * PATIENCE_MILLISECONDS)
    page = context.new_page()
    listen(page, complaints)
    page.goto(f"{cloud.api_url}/dashboard/#key={customer.api_key}")
    expect(page.get_by_text("No batch yet.")).to_be_visible()
    assert customer.api_key not in page.url
    yield page
    context.close()
    assert complaints == []


def test_a_batch_from_a_dropped_file_to_its_results(
    page: Page, customer: Customer, provider: object, receiver: WebhookReceiver
) -> None:
    """A webhook is set, a file is checked, planned, sent and run; its failed item is found by name, its request stands
    beside its answer; results come to the disk, the delivery is replayed, usage has counted it."""
    go(page, "webhooks")
    page.get_by_label("Address").fill(f"{receiver.url}/ok/{customer.account_id}")
    page.get_by_role("button", name="Set it").click()
    page.get_by_role("button", name="Done").click()

    lines = [chat_line(number, "status:400" if number == 3 else None) for number in range(12)]
    lines[3]["custom_id"] = "<b>three</b> & co"
    go(page, "new")
    page.get_by_label("Choose a file").set_input_files(
        {"name": "requests.jsonl", "mimeType": "application/jsonl", "buffer": jsonl(lines)}
    )
    expect(page.get_by_text("Expected cost")).to_be_visible()
    page.get_by_role("button", name="Send 12 requests").click()
    main = page.locator("main")
    expect(main.locator(".batch-head .state")).to_have_text("completed", timeout=ENDS_MILLISECONDS)
    expect(main).to_contain_text("12 of 12")
    expect(page.locator(".timeline li")).not_to_have_count(0)
    items = page.get_by_role("region", name="Items", exact=True)
    expect(items.locator("tbody tr")).to_have_count(1)
    page.get_by_label("custom_id of an item").fill("item-7")
    page.get_by_label("custom_id of an item").press("Enter")
    expect(items.get_by_role("button", name="item-7", exact=True)).to_be_visible()
    page.get_by_role("button", name="Show the failed ones").click()
    items.get_by_role("button", name="<b>three</b> & co").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("region", name="Request")).to_contain_text("Say 3.")
    expect(dialog).to_contain_text("HTTP 400")
    page.keyboard.press("Escape")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download results").click()
    assert len(download.value.path().read_text().splitlines()) == 11

    go(page, "webhooks")
    expect(page.locator("tbody tr")).to_contain_text("delivered", timeout=ENDS_MILLISECONDS)
    page.get_by_role("button", name="Replay").click()
    expect(page.locator("tbody tr")).to_contain_text("replayed 1", timeout=ENDS_MILLISECONDS)
    go(page, "usage")
    expect(page.get_by_role("list", name="Spend by model")).to_contain_text("gpt-4o-mini")
    go(page, "files")
    expect(page.locator("tbody tr")).to_have_count(3)


def test_cancelling_keys_and_operators(page: Page, customer: Customer, provider: object) -> None:
    """A batch that runs is cancelled from its page; a key is made, used and revoked; an account that an operator marks
    sees every lane and account, and no other does."""
    batch = customer.submit([chat_line(number, "latency:60000") for number in range(3)])
    go(page, f"batches/{batch.id}")
    expect(page.locator(".batch-head .state")).to_have_text("running", timeout=ENDS_MILLISECONDS)
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel the batch").click()
    expect(page.locator(".batch-head .state")).to_have_text("cancelled", timeout=ENDS_MILLISECONDS)

    go(page, "keys")
    page.get_by_label("Name").fill("second")
    page.get_by_role("button", name="Make a key").click()
    made = page.locator("dialog .secret").inner_text()
    page.get_by_role("button", name="Done").click()
    page.get_by_role("button", name="Revoke second").click()
    page.get_by_role("button", name="Revoke the key").click()
    expect(page.locator("tbody tr", has_text="second")).to_contain_text("revoked")
    expect(page.get_by_role("link", name="Lanes")).to_have_count(0)
    customer.operator("set_operator", is_operator=True)
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("API key").fill(made)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("not accepted")
    page.get_by_label("API key").fill(customer.api_key)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("link", name="Accounts").click()
    expect(page.get_by_role("table", name="Accounts")).to_contain_text(customer.account_id)
