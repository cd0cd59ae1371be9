"""Makes the Nth AWS call of a function go wrong, for N = 1, 2, 3 … until something runs to its end without meeting it.

Runs of different N go side by side: each has an account of its own, and its faults strike only what concerns that
account.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import pytest
from openai.types import Batch

from local.cloud import LocalCloud, LocalCloudError
from tests.customer import Customer, eventually
from tests.invariants import TERMINAL, Checked

CALLS_AT_MOST = 100
"""After this many calls a run is taken to be endless: faults may cause new calls."""

WAYS: dict[str, dict[str, Any]] = {
    # Five times in a row: all the tries that the SDK has.
    "throttled": {"status": 400, "code": "ThrottlingException", "times": 5},
    # The SDK does not try again.
    "refused": {"status": 400, "code": "InternalFailure"},
    # It happened, but its caller gets an error.
    "lost_answer": {"status": 400, "code": "InternalFailure", "when": "after"},
    # It happened, but its caller was killed before the reply came.
    "killed": {"kill": True, "when": "after"},
}
each_way = pytest.mark.parametrize("way", WAYS)


class Attempt:
    """One run. Calls are counted, and the `number`th of each function goes wrong, between `strike` and `spare`."""

    def __init__(self, customer: Customer, number: int, faults: dict[str, dict[str, Any]]) -> None:
        self.customer = customer
        self.number = number
        self.met: Counter[str] = Counter()
        self._faults = faults
        self._set: dict[str, int] = {}

    def strike(self, *also: str) -> None:
        """`also`: what concerns this run beside its account, and was named together with it before."""
        assert not self._set, "struck twice"
        for function, fault in self._faults.items():
            more = {"about": " ".join([fault["about"], *also])} if "about" in fault else {}
            self._set[function] = self.customer.cloud.fail(function, nth=self.number, **(fault | more))

    def spare(self) -> None:
        for function, fault in self._set.items():
            if self.customer.cloud.unfail(fault)["fired"]:
                self.met[function] += 1
        self._set = {}

    def run(self, lines: Sequence[dict[str, Any]]) -> tuple[Batch, Checked]:
        """A batch of `lines` to its end, and the check of it."""
        return self.end(self.customer.submit(lines).id, lines)

    def end(self, batch_id: str, lines: Sequence[dict[str, Any]]) -> tuple[Batch, Checked]:
        """Waits for the end of a batch, and checks it."""
        eventually(lambda: self.customer.status(batch_id) in TERMINAL, f"{batch_id} is over")
        batch = self.customer.wait(batch_id)
        return batch, self.customer.check(batch, lines)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.spare()
        self.customer.openai.close()


def walk(
    cloud: LocalCloud,
    functions: tuple[str, ...],
    way: str,
    run: Callable[[Attempt], None],
    *,
    side_by_side: int = 8,
    scoped: bool = True,
    enough: int = CALLS_AT_MOST,
    **fault: Any,
) -> Counter[str]:
    """For each function, how many of its calls went wrong once. `run` is the whole life of something, and checks it.
    Not `scoped`: calls count whatever they are about, for those that name nothing; then one run at a time. `enough`:
    how far to go if the calls repeat themselves."""

    def attempt(number: int) -> Counter[str]:
        customer = Customer(cloud, f"{functions[0]} {way} {number}")
        about = {"about": customer.account_id} if scoped else {}
        faults = dict.fromkeys(functions, WAYS[way] | fault | about)
        with Attempt(customer, number, faults) as one:
            try:
                run(one)
            except Exception as error:
                error.add_note(f"call {number} of {' and '.join(functions)}, {way}; account {customer.account_id}")
                raise
        return one.met

    width = side_by_side if scoped else 1
    met: Counter[str] = Counter()
    with ThreadPoolExecutor(width) as pool:
        for first in range(1, CALLS_AT_MOST, width):
            found = list(pool.map(attempt, range(first, first + width)))
            met += sum(found, Counter())
            if not all(found) or first + width > enough:
                return met
    raise AssertionError(f"{functions}: {CALLS_AT_MOST} calls and no end")


class _Sweeps:
    """A sweep looks after all that was there when it began: whoever asks while one runs shares the next one with all
    others who do. Lambda refuses one beside another."""

    def __init__(self) -> None:
        self._one_at_a_time = threading.Lock()
        self._begun = 0
        self._went_well = False

    def sweep(self, cloud: LocalCloud) -> bool:
        begun = self._begun
        with self._one_at_a_time:
            if self._begun == begun:
                self._begun += 1
                self._went_well = _goes_well(cloud)
            return self._went_well


_sweeps = _Sweeps()


def swept(cloud: LocalCloud) -> bool:
    """Whether a sweep that began after this was called went well."""
    return _sweeps.sweep(cloud)


def _goes_well(cloud: LocalCloud) -> bool:
    try:
        cloud.invoke("sweep", {})
    except LocalCloudError:
        return False
    return True
