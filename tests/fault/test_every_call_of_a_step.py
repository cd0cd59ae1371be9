"""Each AWS call of each step of the state machine fails, throttles, loses its answer or its caller: the books are exact
all the same."""

from __future__ import annotations

from local.cloud import LocalCloud
from local.provider import SimulatedProvider
from tests.customer import chat_line, eventually
from tests.fault.every_call import Attempt, each_way, walk
from tests.fault.evidence import ended, note

# A function that waits between its tries holds up nobody else.
CLOUD = {"processes": 6}
LINES = [chat_line(number, "status:400" if number == 5 else None) for number in range(12)]
CALLS_AT_LEAST = {"validate": 5, "dispatch": 4, "finalize": 8, "notify": 1}


@each_way
def test_a_batch_survives_any_call(cloud: LocalCloud, provider: SimulatedProvider, way: str) -> None:
    """Call N of Validate, of Dispatch, of Finalize and of Notify: twelve items in three shards end as they would have
    without, each in its file once."""

    def run(attempt: Attempt) -> None:
        attempt.strike()
        batch, checked = attempt.run(LINES)
        assert (batch.status, checked.succeeded, checked.failed) == ("completed", 11, 1)
        eventually(lambda: ended(cloud, batch.id), "Notify, which comes after the end of the batch, is through")

    met = walk(cloud, tuple(CALLS_AT_LEAST), way, run, side_by_side=14 if way == "throttled" else 8)
    note(f"calls of a step, {way}", met)
    assert all(met[function] >= calls for function, calls in CALLS_AT_LEAST.items()), met
