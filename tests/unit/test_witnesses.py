"""What a witness says of its lane."""

from __future__ import annotations

import pytest

from batchyard.core.health import LaneState
from batchyard.core.retry import FailureReason
from batchyard.worker.witnesses import Found, judged

WELL = Found(LaneState.CLOSED)


@pytest.mark.parametrize("callers_key", [False, True])
@pytest.mark.parametrize(
    "failure", [None, FailureReason.REJECTED, FailureReason.THROTTLED, FailureReason.CONFLICT, FailureReason.TOO_LARGE]
)
def test_any_answer_shows_that_the_provider_is_there(failure: FailureReason | None, callers_key: bool) -> None:
    """A refusal, too: it is about the request or the pace."""
    assert judged(failure, callers_key=callers_key) == WELL


@pytest.mark.parametrize("callers_key", [False, True])
@pytest.mark.parametrize("failure", [FailureReason.SERVER_ERROR, FailureReason.TIMEOUT, FailureReason.CONNECTION])
def test_trouble_is_the_lanes_whoever_pays(failure: FailureReason, callers_key: bool) -> None:
    """The provider is down for everybody."""
    assert judged(failure, callers_key=callers_key) == Found(LaneState.OPEN, str(failure))


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (FailureReason.KEY_REFUSED, "key_refused"),
        (FailureReason.OUT_OF_MONEY, "out_of_money"),
        (FailureReason.UNAFFORDABLE, "out_of_money"),
    ],
)
def test_key_and_money_block_the_deployments_lanes_only(failure: FailureReason, reason: str) -> None:
    """Whoever brought a key gets its errors; and if not even a witness can be paid for, there is no money."""
    assert judged(failure, callers_key=False) == Found(LaneState.BLOCKED, reason)
    assert judged(failure, callers_key=True) == WELL
