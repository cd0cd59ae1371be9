"""How the account's Lambda concurrency is shared out.

With a quota that is large enough, every function has a reservation, so that no neighbour in the account can starve it;
event sources have a maximum instead. With a smaller quota Lambda lets nothing be reserved. Then the maxima of all event
sources are lowered, so that workers, which may run for 15 minutes, leave room for the API and the steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

UNRESERVED = 100
"""Lambda leaves this much to functions without a reservation, and refuses a deployment that would not.
https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html"""
LEFT_TO_THE_REST = 4
"""Executions that event sources leave to the API and the steps, however small the quota."""
_JOBS_AT_ONCE = 2
"""Each holds an execution for minutes while its vendor is sent a large file, or sends one."""
SMALLEST_MAXIMUM = 2
"""SQS event sources take 2 to 1,000."""


class QuotaTooSmall(Exception):
    """Not even the smallest maxima fit into the account's concurrency."""


@dataclass(frozen=True, slots=True)
class Concurrency:
    """`reserved`: function -> its reservation, None for none. `maxima`: event source -> its maximum concurrency.
    `jobs_at_once`: how many of a batch's provider jobs are looked after at the same time, if nothing else bounds it."""

    reserved: Mapping[str, int | None]
    maxima: Mapping[str, int]
    jobs_at_once: int | None = None


def share_out(quota: int, reservations: Mapping[str, int | None], maxima: Mapping[str, int]) -> Concurrency:
    """The `reservations` and `maxima` that a `quota` allows. Raises QuotaTooSmall, which says what to do."""
    wanted = sum(reserved or 0 for reserved in reservations.values())
    if quota >= wanted + max(UNRESERVED, sum(maxima.values())):
        return Concurrency(reservations, maxima)
    smallest = len(maxima) * SMALLEST_MAXIMUM
    left = quota - LEFT_TO_THE_REST
    if smallest > left:
        providers = len(maxima) - 1  # the other one is the drop folder's
        fitting = left // SMALLEST_MAXIMUM - 1
        raise QuotaTooSmall(
            f"A Lambda concurrency of {quota} is too small for {providers} providers: their workers could take all of "
            f"it, and the API would stand still. Either ask for 1,000 (free, often granted within hours): "
            f"aws service-quotas request-service-quota-increase --service-code lambda --quota-code L-B99A9384 "
            f"--desired-value 1000; or leave at most {fitting} in functions/batchyard/providers.toml."
        )
    budget = max(smallest, left * 3 // 4)
    return Concurrency(dict.fromkeys(reservations), _lowered(maxima, budget), _JOBS_AT_ONCE)


def _lowered(maxima: Mapping[str, int], budget: int) -> dict[str, int]:
    """`maxima`, the larger ones lowered until their sum is within `budget`."""
    lowered = dict(maxima)
    while sum(lowered.values()) > budget:
        largest = max(lowered, key=lambda name: lowered[name])
        lowered[largest] -= 1
    return lowered
