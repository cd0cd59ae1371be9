"""What batches came to by day and model, and links to files, as the dashboard's page reads them."""

from __future__ import annotations

from typing_extensions import TypedDict

from batchyard.core.usage import decimal_usd
from batchyard.core.usage_days import DayUsage, UsageView
from batchyard.surfaces.operations import Download


class UsageDay(TypedDict):
    day: str
    batches: int
    succeeded: int
    failed: int
    cancelled: int
    expired: int
    input_tokens: int
    output_tokens: int
    cost_usd: str
    realtime_usd: str


class UsageModel(TypedDict):
    """`model`: null for batches of several models."""

    model: str | None
    batches: int
    succeeded: int
    failed: int
    cost_usd: str
    realtime_usd: str


class UsageCharts(TypedDict):
    days: list[UsageDay]
    models: list[UsageModel]


class DownloadLink(TypedDict):
    """`url`: has the file's bytes until `expires_at`, without an API key."""

    url: str
    filename: str
    bytes: int
    expires_at: int


def usage_charts(usage: UsageView) -> UsageCharts:
    return {"days": [_usage_day(each) for each in usage.days], "models": [_usage_model(each) for each in usage.models]}


def _usage_day(usage: DayUsage) -> UsageDay:
    tally = usage.tally
    return {
        "day": usage.day,
        "batches": usage.batches,
        "succeeded": tally.succeeded,
        "failed": tally.failed,
        "cancelled": tally.cancelled,
        "expired": tally.expired,
        "input_tokens": tally.input_tokens,
        "output_tokens": tally.output_tokens,
        "cost_usd": decimal_usd(tally.cost_picousd),
        "realtime_usd": decimal_usd(tally.realtime_picousd),
    }


def _usage_model(usage: DayUsage) -> UsageModel:
    return {
        "model": usage.model,
        "batches": usage.batches,
        "succeeded": usage.tally.succeeded,
        "failed": usage.tally.failed,
        "cost_usd": decimal_usd(usage.tally.cost_picousd),
        "realtime_usd": decimal_usd(usage.tally.realtime_picousd),
    }


def download_link(download: Download) -> DownloadLink:
    file = download.file
    return {"url": download.url, "filename": file.filename, "bytes": file.bytes, "expires_at": download.expires_at}
