"""An item after it ran: its result, as the worker makes it and as it is kept.

Neither is in a dialect. `core/result_lines.py` has the form of a batch's files, `surfaces/` have the other forms.
"""

from __future__ import annotations

import enum
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from batchyard.core.ids import derive_id
from batchyard.core.usage import Tally, Usage


class Outcome(enum.StrEnum):
    """How an item ended. Only `SUCCEEDED` goes to the output file; the others go to the error file."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Result:
    """Exactly one of `status_code` and `error_code` is set, the former with `body`: the provider's JSON, made by
    `one_line`."""

    index: int
    custom_id: str
    outcome: Outcome
    status_code: int | None = None
    request_id: str | None = None
    body: bytes | None = None
    error_code: str | None = None
    error_message: str | None = None
    usage: Usage = field(default_factory=Usage)
    cost_picousd: int = 0
    realtime_picousd: int | None = None
    """What it would have cost in realtime; None: as much as it did."""


class StoredResult(NamedTuple):
    """A result as parts hold it, in no dialect. `body` is the provider's answer byte for byte, empty if there was no
    answer; `status_code` is None then, and `error_code` says why. `id` is the result's public id.

    A tuple, because Finalize makes one for each of a million items: a frozen dataclass takes five times as long.
    """

    index: int  # type: ignore[assignment]  # tuples have a method of this name, which nobody needs here
    id: str
    custom_id: str
    outcome: Outcome
    status_code: int | None
    request_id: str | None
    error_code: str | None
    error_message: str | None
    body: bytes


def failed(index: int, custom_id: str, code: str, message: str) -> Result:
    """A result that never got an answer from a provider."""
    return Result(index, custom_id, Outcome.FAILED, error_code=code, error_message=message)


def unfinished(index: int, custom_id: str, outcome: Outcome, *, price_reached: bool = False) -> Result:
    """The result of an item that a cancelled, expired or failed batch never finished, or one that reached its price
    limit."""
    code, message = _TOO_DEAR if price_reached and outcome is Outcome.FAILED else _UNFINISHED[outcome]
    return Result(index, custom_id, outcome, error_code=code, error_message=message)


def stored(batch_id: str, result: Result) -> StoredResult:
    """The result as it is kept."""
    return StoredResult(
        index=result.index,
        id=result_id(batch_id, result.index),
        custom_id=result.custom_id,
        outcome=result.outcome,
        status_code=result.status_code,
        request_id=result.request_id,
        error_code=result.error_code,
        error_message=result.error_message,
        body=b"" if result.status_code is None else result.body or b"null",
    )


def result_id(batch_id: str, index: int) -> str:
    """The public id of the result of item `index`."""
    return derive_id("batch_req_", batch_id, str(index))


def tally(results: list[Result]) -> Tally:
    """Counts, tokens and cost of `results`."""
    usages = [result.usage for result in results]
    return Tally(
        **Counter(str(result.outcome) for result in results),
        input_tokens=sum(usage.input_tokens for usage in usages),
        cached_tokens=sum(usage.cached_tokens for usage in usages),
        output_tokens=sum(usage.output_tokens for usage in usages),
        reasoning_tokens=sum(usage.reasoning_tokens for usage in usages),
        cost_picousd=sum(result.cost_picousd for result in results),
        realtime_picousd=sum(map(_realtime_picousd, results)),
    )


def _realtime_picousd(result: Result) -> int:
    return result.cost_picousd if result.realtime_picousd is None else result.realtime_picousd


def outcome_of_error(code: str | None) -> Outcome:
    """The outcome of an item in the error file, read from its code: each way of never being finished has its own
    code."""
    return next((outcome for outcome, (known, _) in _UNFINISHED.items() if known == code), Outcome.FAILED)


_TOO_DEAR = (
    "max_price_reached",
    "This request was not executed: with it, the batch might have cost more than the maximum price that it was given.",
)
_UNFINISHED = {
    Outcome.FAILED: ("batch_failed", "This request was not executed because the batch failed."),
    Outcome.CANCELLED: ("batch_cancelled", "This request was not executed because the batch was cancelled."),
    Outcome.EXPIRED: (
        "batch_expired",
        "This request could not be executed before the completion window expired.",
    ),
}
