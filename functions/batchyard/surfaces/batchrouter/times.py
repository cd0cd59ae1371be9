"""Times as BatchRouter writes them: ISO 8601, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime


def iso(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def iso_or_none(at: int | None) -> str | None:
    return None if at is None else iso(at)
