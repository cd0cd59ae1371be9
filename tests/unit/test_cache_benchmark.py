"""The simulation of prompt caches: what it has to show, and the table that it becomes."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from bench.cache_tables import cache_tables
from bench.caches import VENDORS, WORKLOADS, Vendor, run

RULES, DOCUMENTS, _, NOTHING = WORKLOADS


@pytest.mark.parametrize("vendor", VENDORS, ids=["by_itself", "with_marks"])
def test_one_ahead_saves_tokens_where_items_begin_alike(vendor: Vendor) -> None:
    """More input comes out of the cache, and the bill is smaller, at a vendor of either sort."""
    at_once, ahead = (run(vendor, RULES, 120, one_ahead=one_ahead) for one_ahead in (False, True))
    assert ahead.cached_share > at_once.cached_share + 0.1
    assert ahead.cost_share < at_once.cost_share < 1.1


def test_items_with_nothing_in_common_are_left_alone() -> None:
    """Nothing is saved, and nothing takes longer."""
    at_once, ahead = (run(VENDORS[0], NOTHING, 60, one_ahead=one_ahead) for one_ahead in (False, True))
    assert (ahead.cached_share, ahead.cost_share, ahead.seconds) == (0, 1, at_once.seconds)


def test_the_table_shows_both_beside_each_other() -> None:
    """A line for each workload."""
    runs = [asdict(run(VENDORS[0], DOCUMENTS, 40, one_ahead=one_ahead)) for one_ahead in (False, True)]
    text = cache_tables([*runs, *runs])
    assert text.count(DOCUMENTS.name) == 2
