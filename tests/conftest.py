"""Hypothesis without time limits, in every room: how long an example takes depends on the machine, not on the code.
`--hypothesis-profile few`: for a second run of the same tests, on another Python.

Rooms whose modules take long come first: in a run by several workers the quick ones then fill up what is left.

Every worker imports all tests. What that makes stays until the end: a garbage collector that looks through it while it
grows takes a third of that time, and would do so again with every test.
"""

from __future__ import annotations

import gc

import pytest
from hypothesis import HealthCheck, settings

_SLOW_ROOMS = ("fault", "e2e", "local_cloud", "worker", "infra", "dashboard")

settings.register_profile("batchyard", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("few", settings.get_profile("batchyard"), max_examples=10)
settings.load_profile("batchyard")
gc.disable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: 0 if item.path.parts[-2] in _SLOW_ROOMS else 1)


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()
