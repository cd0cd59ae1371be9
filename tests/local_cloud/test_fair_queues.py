"""Which message comes next, when several groups wait for their turn."""

from __future__ import annotations

import pytest

from local.functions.fair_queues import NOISY_MESSAGES, Backlog, next_fairly


def waiting(**groups: int) -> list[tuple[str, str]]:
    """So many messages of each group, one group after the other."""
    return [(group, f"{group}-{number}") for group, count in groups.items() for number in range(count)]


@pytest.mark.parametrize(
    ("in_flight", "first"),
    [
        ({}, "large-0"),
        ({"large": NOISY_MESSAGES - 1}, "large-0"),
        ({"large": NOISY_MESSAGES}, "small-0"),
        ({"large": 30, **{f"other-{n}": 1 for n in range(269)}}, "small-0"),
        ({"large": 30, **{f"other-{n}": 1 for n in range(270)}}, "large-0"),
        ({"large": 200, "small": 29}, "small-0"),
        ({"large": 200, "small": 100}, "small-0"),
        ({"large": 100, "small": 200}, "large-0"),
    ],
    ids=[
        "nothing in flight: who came first",
        "29 make no noise",
        "30 do",
        "more than a tenth",
        "a tenth of all is not too much",
        "the quiet group",
        "of two noisy ones, the one with less",
        "whichever that is",
    ],
)
def test_a_group_is_noisy_by_its_share_of_what_is_in_flight(in_flight: dict[str, int], first: str) -> None:
    """More than a tenth and at least 30: others go first, and of the noisy ones the one with the fewest."""
    assert next_fairly(waiting(large=3, small=3), Backlog(in_flight), 1) == [first]


def test_what_is_received_together_counts_as_it_is_taken() -> None:
    """Of two groups that are at the brink, neither gets a whole receive to itself."""
    chosen = next_fairly(waiting(one=10, two=10), Backlog({"one": 30, "two": 30}), 4)
    assert sorted(chosen) == ["one-0", "one-1", "two-0", "two-1"]


def test_nobody_starves() -> None:
    """A noisy group gets what the others leave."""
    assert next_fairly(waiting(large=3, small=1), Backlog({"large": 90}), 3) == ["small-0", "large-0", "large-1"]
