"""Items of a batch as the dashboard's page reads them: in lists, and one with what was asked and answered."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict

from batchyard.core.item_views import ItemView
from batchyard.surfaces.dashboard import reading
from batchyard.surfaces.dashboard.lanes import LaneName, lane_name
from batchyard.surfaces.operations import ViewedItems

_BODY_CHARS = 200_000
"""What of a request or an answer is shown. Lambda replies end at 6 MB."""


OutcomeName = Literal["succeeded", "failed", "cancelled", "expired"]


class ItemErrorText(TypedDict):
    code: str | None
    message: str | None


class ItemCard(TypedDict):
    """`outcome`: null while there is no result."""

    index: int
    custom_id: str
    outcome: OutcomeName | None
    status_code: int | None
    request_id: str | None
    error: ItemErrorText | None


class ItemCards(TypedDict):
    """`searched` of the batch's `total` items are behind this page."""

    items: list[ItemCard]
    next_cursor: str | None
    searched: int
    total: int


class ItemPage(ItemCard):
    """What was asked beside what was answered: JSON as text, cut off behind 200,000 characters."""

    request: str | None
    response: str | None
    request_bytes: int
    response_bytes: int
    lane: LaneName | None


def item_cards(viewed: ViewedItems) -> ItemCards:
    return {
        "items": [item_card(item) for item in viewed.items],
        "next_cursor": reading.write_cursor(viewed.next_cursor),
        "searched": viewed.searched,
        "total": viewed.total,
    }


def item_card(item: ItemView) -> ItemCard:
    return {
        "index": item.index,
        "custom_id": item.custom_id,
        "outcome": item.outcome.value if item.outcome else None,
        "status_code": item.status_code,
        "request_id": item.request_id,
        "error": {"code": item.error.code, "message": item.error.message} if item.error else None,
    }


def item_page(item: ItemView) -> ItemPage:
    return {
        **item_card(item),
        "request": _text(item.request),
        "response": _text(item.answer),
        "request_bytes": len(item.request or b""),
        "response_bytes": len(item.answer or b""),
        "lane": lane_name(item.lane),
    }


def _text(body: bytes | None) -> str | None:
    return None if body is None else body.decode(errors="replace")[:_BODY_CHARS]
