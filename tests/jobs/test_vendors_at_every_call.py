"""The native executor with the real client of each vendor's batch API, over HTTP to the simulated vendor: any request
may be the last one of its executor, or lose its answer."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import orjson
import pytest

from batchyard.adapters.catalogue import load_providers
from batchyard.adapters.providers.anthropic_jobs import AnthropicJobs
from batchyard.adapters.providers.gemini_jobs import GeminiJobs
from batchyard.adapters.providers.kinds import translator_of
from batchyard.adapters.providers.openai_jobs import OpenAIJobs
from batchyard.adapters.providers.provider_jobs import VendorJobs
from batchyard.adapters.providers.translator import Translator
from batchyard.adapters.providers.vendor_http import VendorHttp
from batchyard.core.providers import Provider
from batchyard.core.results import Outcome
from local.provider import SimulatedProvider, text_hash
from tests.jobs.yard import MODEL, Died, Yard

PROVIDERS = {provider.name: provider for provider in load_providers()}
GEMINI = Provider("gemini", "gemini", "https://generativelanguage.googleapis.com/v1beta")
VENDORS = {name: PROVIDERS[name] for name in ("openai", "mistral", "together", "anthropic")} | {"gemini": GEMINI}
CONNECT: dict[str, Callable[[VendorHttp, str], VendorJobs]] = {
    "openai": lambda http, variant: OpenAIJobs(http, variant, 24),
    "anthropic": lambda http, _: AnthropicJobs(http),
    "gemini": lambda http, _: GeminiJobs(http),
}
ITEMS = 8
USUAL_SECONDS = 20 * 300
"""So that a job is looked at every 300 seconds."""


class Clock:
    """That of the simulated vendor's jobs, as far as a yard has moved it."""

    def __init__(self, simulator: SimulatedProvider, now: int) -> None:
        self._simulator = simulator
        self.now = now

    def go_to(self, moment: float) -> None:
        if moment > self.now:
            self._simulator.advance(moment - self.now)
            self.now = int(moment)


class BrittleLine(httpx.BaseTransport):
    """The nth request ends its executor, before or after it was answered, or its answer is `lost`; so do the ones
    behind it, if more are to break."""

    def __init__(self, nth: int, when: str, before_each: Callable[[], None]) -> None:
        self.requests: list[str] = []
        self.breaks = 1
        self._nth, self._when, self._before_each = nth, when, before_each
        self._inner = httpx.HTTPTransport()

    @property
    def is_broken(self) -> bool:
        return len(self.requests) >= self._nth

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self._before_each()
        self.requests.append(f"{request.method} {request.url.path}")
        if not self._nth <= len(self.requests) < self._nth + self.breaks:
            return self._inner.handle_request(request)
        if self._when != "before":
            self._inner.handle_request(request).close()
        if self._when == "lost":
            raise httpx.ReadError("the connection broke off")
        raise Died(self.requests[-1])

    def close(self) -> None:
        self._inner.close()


class VendorYard(Yard):
    """At a simulated vendor whose job stops half-way, so that every kind of request is made."""

    def __init__(
        self,
        simulator: SimulatedProvider,
        provider: Provider,
        clock: Clock,
        nth: int,
        when: str,
        escalate_in: int = 1000,
        jobs: tuple[int, ...] = (2,),
    ) -> None:
        self._simulator, self._provider = simulator, provider
        self.line = BrittleLine(nth, when, lambda: clock.go_to(self.now))
        super().__init__(jobs, now=clock.now, escalate_at=clock.now + escalate_in, usual_seconds=USUAL_SECONDS)

    def make_vendor(self, **_: Any) -> Any:
        headers = self.translator.headers("sk-test")
        http = VendorHttp(self._simulator.url_of(self._provider.name), headers, self.line)
        return CONNECT[self._provider.kind](http, self._provider.variant)

    @property
    def translator(self) -> Translator:
        return translator_of(self._provider)

    def body(self, index: int) -> bytes:
        messages = [{"role": "user", "content": f"Say {index}."}]
        return orjson.dumps({"model": MODEL, "messages": messages, "max_tokens": 10})

    def paid(self) -> Counter[int]:
        bills = self._simulator.bills()
        names = {text_hash(self.body(index)): index for index in range(ITEMS)}
        assert bills.keys() <= names.keys()
        total = Counter({names[name]: sum(bill) for name, bill in bills.items()})
        return total + Counter({names[text_hash(body)]: count for body, count in self.realtime_paid.items()})


@pytest.fixture(scope="module")
def began_at() -> int:
    """Before the vendor's clock began to run: no job may seem to be older than its submission."""
    return int(time.time())


@pytest.fixture(scope="module")
def simulator(began_at: int) -> Iterator[SimulatedProvider]:
    with SimulatedProvider(seed=1, clock_speed=0, job_seconds=40, job_faults={"job_stall:50": 1}) as provider:
        yield provider


@pytest.fixture(scope="module")
def clock(simulator: SimulatedProvider, began_at: int) -> Clock:
    return Clock(simulator, began_at)


@pytest.mark.parametrize("name", VENDORS)
def test_a_job_that_is_stuck_is_submitted_anew(simulator: SimulatedProvider, clock: Clock, name: str) -> None:
    """With what the first one has not finished, and again with what the second one leaves; what the third one leaves
    runs in realtime. Each item is paid once, and the vendor keeps nothing."""
    simulator.reset()
    yard = VendorYard(simulator, VENDORS[name], clock, 0, "never", escalate_in=13 * USUAL_SECONDS)
    yard.run()
    yard.vendor.close()
    assert yard.results() == dict.fromkeys(range(ITEMS), Outcome.SUCCEEDED)
    assert yard.paid() == dict.fromkeys(range(ITEMS), 1)
    assert [job["items"] for job in simulator.jobs()] == [8, 4, 2]
    assert sum(yard.realtime_paid.values()) == 1
    assert all(file["deleted"] for file in simulator.files())


@pytest.mark.parametrize("when", ["after", "lost"])  # "before" the vendor knows of nothing: test_native_executor.py
@pytest.mark.parametrize("name", VENDORS)
def test_an_executor_may_die_at_any_request(simulator: SimulatedProvider, clock: Clock, name: str, when: str) -> None:
    """Or get no answer to it: the vendor has one job, which is known; what it finished is kept, the rest runs in
    realtime, and each item is paid once."""
    for nth in range(1, 40):
        simulator.reset()
        yard = VendorYard(simulator, VENDORS[name], clock, nth, when)
        yard.run()
        clock.go_to(yard.now)
        yard.vendor.close()
        note = f"{when} request {nth}: {yard.line.requests}"
        assert yard.results() == dict.fromkeys(range(ITEMS), Outcome.SUCCEEDED), note
        assert yard.paid() == dict.fromkeys(range(ITEMS), 1), note
        assert sum(yard.realtime_paid.values()) == ITEMS // 2, note
        assert len(simulator.jobs()) == 1, note
        if not yard.line.is_broken:
            assert all(file["deleted"] for file in simulator.files())
            break
    assert 6 <= nth < 39, f"{nth} requests"


@pytest.mark.parametrize("when", ["before", "lost"])
def test_jobs_of_the_same_size_are_not_mistaken_for_each_other(
    simulator: SimulatedProvider, clock: Clock, when: str
) -> None:
    """At Anthropic, whose jobs have no names: two of them begin in the same second, and one loses an answer. Both are
    known, and each item is paid once."""
    for nth in range(1, 40):
        simulator.reset()
        yard = VendorYard(simulator, VENDORS["anthropic"], clock, nth, when, jobs=(1, 1))
        yard.run()
        clock.go_to(yard.now)
        yard.vendor.close()
        note = f"{when} request {nth}: {yard.line.requests}"
        assert yard.results() == dict.fromkeys(range(ITEMS), Outcome.SUCCEEDED), note
        assert yard.paid() == dict.fromkeys(range(ITEMS), 1), note
        assert len(simulator.jobs()) == 2, note
        if not yard.line.is_broken:
            break
    assert 6 <= nth < 39, f"{nth} requests"


def test_two_lost_answers_are_told_apart(simulator: SimulatedProvider, clock: Clock) -> None:
    """Both jobs are found by their size, and taken for each other; their results say whose they are."""
    simulator.reset()
    yard = VendorYard(simulator, VENDORS["anthropic"], clock, 1, "lost", jobs=(1, 1))
    yard.line.breaks = 2
    yard.mail.waiting.reverse()  # so that the vendor has the second one first
    yard.run()
    clock.go_to(yard.now)
    yard.vendor.close()
    assert yard.results() == dict.fromkeys(range(ITEMS), Outcome.SUCCEEDED)
    assert yard.paid() == dict.fromkeys(range(ITEMS), 1)
    assert len(simulator.jobs()) == 2
    assert any(row.strangers for row in yard.job_rows)
