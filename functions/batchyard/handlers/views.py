"""The API's operations for the dashboard's page: batches and their items, what was used, who has signed in, downloads.
Each function of the API serves those whose data it may read anyway."""

from __future__ import annotations

from datetime import UTC, datetime

from batchyard.content import files as stored
from batchyard.content.item_views import Items
from batchyard.content.results import no_longer_kept
from batchyard.core.accounts import AccountView
from batchyard.core.batch_views import BatchesPage, BatchView, Throughput
from batchyard.core.batches import BatchRef
from batchyard.core.errors import NotFound
from batchyard.core.files import FileRef
from batchyard.core.item_views import ItemView
from batchyard.core.requests import ItemRequest, ItemsRequest, ViewRequest
from batchyard.core.survey import AccountsPage, Survey
from batchyard.core.usage_days import UsageView, usage_view
from batchyard.handlers import downloads, resources
from batchyard.handlers.http import Call
from batchyard.handlers.limits import limits_of, shown_limits
from batchyard.steps import survey, view
from batchyard.surfaces.operations import (
    Download,
    Session,
    ViewedItems,
)
from batchyard.surfaces.registry import surface

_DAY_SECONDS = 86_400
_FORMS_OF_LINES = ("openai", "anthropic", "batchrouter", "kushrouter")
"""The dialects whose lines the page knows."""


def view_batches(call: Call, wanted: ViewRequest) -> BatchesPage:
    return view.view_page(call.account_id, wanted, now=call.now, stores=resources.stores(), look=resources.lane_look())


def view_batch(call: Call, batch_id: str) -> BatchView:
    ref = BatchRef(call.account_id, batch_id)
    return view.view(ref, now=call.now, stores=resources.stores(), look=resources.lane_look())


def view_throughput(call: Call, batch_id: str) -> Throughput:
    return view.throughput(BatchRef(call.account_id, batch_id), now=call.now, stores=resources.stores())


def view_items(call: Call, wanted: ItemsRequest) -> ViewedItems:
    items = _items(call, wanted.batch_id)
    if items is None:
        return ViewedItems([], None, 0, 0)
    page = items.page(wanted) if wanted.custom_id is None else items.find(wanted.custom_id, wanted.cursor)
    return ViewedItems(page.items, page.next_cursor, page.searched, items.total)


def view_item(call: Call, wanted: ItemRequest) -> ItemView:
    items = _items(call, wanted.batch_id)
    if items is None:
        raise NotFound("The batch has no items yet.", param="index", code="item_not_found")
    return items.item(wanted.index)


def _items(call: Call, batch_id: str) -> Items | None:
    """None if the batch was never validated. Raises NotFound."""
    batch = view.found_batch(BatchRef(call.account_id, batch_id), resources.stores())
    if batch.results_hidden:
        raise no_longer_kept(batch)
    return Items(batch, batch.plan, resources.shards(), resources.objects()) if batch.plan else None


def view_usage(call: Call, days: int) -> UsageView:
    first = datetime.fromtimestamp(call.now - (days - 1) * _DAY_SECONDS, UTC)
    return usage_view(resources.stores().usage_days.since(call.account_id, f"{first:%Y-%m-%d}"))


def show_session(call: Call, _: None) -> Session:
    account = resources.accounts().get(call.account_id)
    if account is None:
        raise NotFound("The account does not exist.", code="account_not_found")
    owner = AccountView(account, resources.ledger().balance(account.id))
    dialects = {name: limits_of(surface(name), call.settings) for name in _FORMS_OF_LINES}
    window_seconds = call.settings.completion_window_seconds
    return Session(owner, shown_limits(call.surface, call.settings), window_seconds, dialects)


def show_download(call: Call, file_id: str) -> Download:
    file = stored.find(
        FileRef(call.account_id, file_id),
        now=call.now,
        max_file_bytes=call.settings.max_file_bytes,
        stores=resources.stores(),
    )
    downloads.require_content(file)
    expires_at = call.now + call.settings.presigned_url_seconds
    return Download(file, downloads.storage_url(file, call.settings), expires_at)


def view_accounts(call: Call, after: str | None) -> AccountsPage:
    accounts = resources.accounts()
    survey.require_operator(call.account_id, accounts=accounts)
    return survey.list_accounts(after, accounts=accounts, batches=resources.batches(), ledger=resources.ledger())


def view_lanes(call: Call, _: None) -> Survey:
    survey.require_operator(call.account_id, accounts=resources.accounts())
    return survey.survey(now=call.now, batches=resources.batches(), lanes=resources.lanes())
