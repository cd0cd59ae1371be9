"""Why a batch waits: which state it is told, and that the sentences hold what its owner needs and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from batchyard.core.health import LaneHealth, LaneState
from batchyard.core.lane_pace import SLOT_SECONDS, LanePace, slot_of
from batchyard.core.lanes import Lane
from batchyard.core.retry import FailureReason
from batchyard.core.waits import LaneOfBatch, WaitState, wait_on

NOW = 1_800_000_000  # 2027-01-15 08:00:00 UTC
SLOT = slot_of(NOW) - 1
QUIET = LaneOfBatch(
    lane=Lane("openai", "gpt-4o-mini"),
    health=LaneHealth(),
    pace=LanePace(),
    is_begun=True,
    running_since=NOW - 600,
    expires_at=NOW + 82_800,
)
OPEN = LaneHealth(LaneState.OPEN, "server_error", since=NOW - 60, probes=2, probe_at=NOW + 8)
BLOCKED = replace(OPEN, state=LaneState.BLOCKED, reason="key_refused")
LIMITED = LanePace(rate=20.0, good={SLOT: 20 * SLOT_SECONDS})


@pytest.mark.parametrize(
    ("seen", "state", "since"),
    [
        (QUIET, None, None),
        (replace(QUIET, health=OPEN), WaitState.TROUBLE, NOW - 60),
        (replace(QUIET, health=BLOCKED, is_begun=False, pace=LIMITED), WaitState.BLOCKED, NOW - 60),
        (replace(QUIET, is_begun=False, pace=LIMITED), WaitState.QUEUED, NOW - 600),
        (replace(QUIET, is_begun=False, running_since=NOW - 9), None, None),
        (replace(QUIET, pace=LIMITED), WaitState.THROTTLED, None),
        (replace(QUIET, pace=replace(LIMITED, good={SLOT: 1}, refused={SLOT: 1})), WaitState.THROTTLED, None),
        (replace(QUIET, pace=replace(LIMITED, good={SLOT: 1})), None, None),
        (replace(QUIET, pace=replace(LIMITED, rate=None)), None, None),
    ],
)
def test_the_worst_of_what_holds_is_told(seen: LaneOfBatch, state: WaitState | None, since: int | None) -> None:
    """People come before time, time before others, others before limits; a lane that just runs is not mentioned."""
    found = wait_on(seen, NOW)
    assert (found and found.state, found and found.since) == (state, since)


@pytest.mark.parametrize("health", [OPEN, BLOCKED])
def test_trouble_is_told_with_what_follows(health: LaneHealth) -> None:
    """Since when, when it is tried again, that nothing is lost, and the deadline."""
    found = wait_on(replace(QUIET, health=health), NOW)
    assert found is not None
    for told in (
        "Fri, 15 Jan 2027 07:59:00 GMT",
        "08:00:08 GMT",
        "Nothing is lost",
        "Sat, 16 Jan 2027 07:00:00 GMT",
        "openai",
    ):
        assert told in found.message


def test_a_provider_without_api_keys_is_told_of_its_role() -> None:
    """At Bedrock the worker's role is refused, not a key; everything else is told as of other lanes."""
    seen = replace(QUIET, lane=Lane("bedrock", "nova"), health=BLOCKED)
    of_key, of_role = wait_on(seen, NOW), wait_on(replace(seen, by_role=True), NOW)
    assert of_key is not None and "does not accept this deployment's API key" in of_key.message
    assert of_role is not None and of_role.message.startswith("bedrock does not accept this deployment's role: ")
    assert "API key" not in of_role.message
    poor = replace(seen, health=replace(BLOCKED, reason="out_of_money"))
    assert wait_on(poor, NOW) == wait_on(replace(poor, by_role=True), NOW)


@pytest.mark.parametrize("reason", [*map(str, FailureReason), "secret_missing", None, "a reason of a newer version"])
def test_every_reason_has_a_sentence(reason: str | None) -> None:
    """A lane may be blocked for a reason that this version has never heard of; it is never quoted."""
    found = wait_on(replace(QUIET, health=replace(BLOCKED, reason=reason, probe_at=NOW - 1)), NOW)
    assert found is not None and "within seconds" in found.message
    assert "{" not in found.message and (reason or "newer version") not in found.message
