"""A batch whose items go to Bedrock's batch inference, with the real client of it: from submission to settling."""

from __future__ import annotations

from typing import Any, cast

import httpx
import orjson
import pytest

from batchyard.adapters.aws.objects import Objects
from batchyard.adapters.providers.bedrock.translator import BedrockTranslator
from batchyard.adapters.providers.bedrock_jobs import REASONS, BedrockJobs, Exchange
from batchyard.adapters.providers.translator import Translator
from batchyard.adapters.providers.vendor_http import VendorHttp
from batchyard.core.native_limits import native_limits
from batchyard.core.providers import Provider
from batchyard.core.results import Outcome
from batchyard.jobs.executor import attend
from tests.jobs.yard import ESCALATE_AT, MODEL, Guarded, Yard
from tests.memory_bedrock import ROLE, URL, MemoryBedrock
from tests.steps.running import NOW

PROVIDER = Provider("bedrock", "bedrock", "https://bedrock-runtime.eu-central-1.amazonaws.com")
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}


class BedrockYard(Yard):
    """Each request to Bedrock and each call about its files may be the last one, too."""

    bedrock: MemoryBedrock
    with_tools: frozenset[int] = frozenset()

    def make_vendor(self, **settings: Any) -> Any:
        self.with_tools = settings.pop("with_tools", frozenset())
        self.bedrock = MemoryBedrock(lambda: self.now, **settings)
        answer = self.fuse.guard("bedrock", self.bedrock.answer)
        return BedrockJobs(
            VendorHttp(URL, {}, httpx.MockTransport(answer), reasons=REASONS),
            Exchange(cast(Objects, Guarded(self.bedrock.objects, self.fuse, "files")), ROLE),
            native_limits("bedrock", {"min_items": 2}),
        )

    @property
    def translator(self) -> Translator:
        return BedrockTranslator(PROVIDER)

    def body(self, index: int) -> bytes:
        more = {"tools": [TOOL]} if index in self.with_tools else {}
        return orjson.dumps({"model": MODEL, "messages": [{"role": "user", "content": str(index)}]} | more)

    def index_of(self, paid: bytes) -> int:
        content = orjson.loads(paid)["messages"][0]["content"]
        return int(content if isinstance(content, str) else content[0]["text"])

    def paid(self) -> Any:
        total = [*self.realtime_paid.elements(), *self.bedrock.paid.elements()]
        counts: dict[int, int] = {}
        for body in total:
            counts[self.index_of(body)] = counts.get(self.index_of(body), 0) + 1
        return counts


ALL_12 = dict.fromkeys(range(12), Outcome.SUCCEEDED)


def test_a_job_that_ends_well() -> None:
    """Every item has a result at half the price, nothing ran in realtime, and Bedrock's files are gone."""
    yard = BedrockYard(seconds=100.0)
    yard.run()
    assert yard.results() == ALL_12
    assert not yard.realtime_paid
    assert set(yard.paid().values()) == {1}
    tally = yard.stores.progress.total(yard.batch.id)
    assert tally.realtime_picousd == 2 * tally.cost_picousd > 0
    assert not yard.bedrock.objects.stored


def test_a_job_is_looked_at_as_soon_as_bedrock_says_that_it_is_over() -> None:
    """Long before it is due; an event that comes too early, or twice, does no harm."""
    yard = BedrockYard(seconds=100.0, usual_seconds=20 * 600)
    yard.run(until=yard.now + 30)
    (ref,) = yard.refs
    for seconds, is_done in ((20, False), (100, True), (1, True)):
        yard.now += seconds
        assert attend(ref, yard.tools) is None or is_done
        attend(ref, yard.tools, vendor_says_over=True)
        assert [row.is_done for row in yard.job_rows] == [is_done]
    assert yard.results() == ALL_12
    assert set(yard.paid().values()) == {1}


def test_records_that_fail() -> None:
    """For good or in passing, and those that are missing: they run in realtime, which judges them."""

    def status(body: bytes) -> int | None:
        return {b"3": 400, b"5": 500, b"7": None}.get(body.split(b'"text":"')[1].split(b'"')[0], 200)

    yard = BedrockYard(seconds=100.0, status_of=status)
    yard.run()
    assert yard.results() == ALL_12
    assert sorted(yard.index_of(body) for body in yard.realtime_paid) == [3, 5, 7]


def test_a_job_that_is_partially_completed() -> None:
    """What it has done is kept, the rest runs in realtime, and nothing is paid twice."""
    yard = BedrockYard((8,), seconds=100.0, done_share=0.5)
    yard.run()
    assert yard.results() == dict.fromkeys(range(32), Outcome.SUCCEEDED)
    assert sum(yard.realtime_paid.values()) == 16
    assert set(yard.paid().values()) == {1}


def test_a_job_that_would_expire_is_stopped_in_time() -> None:
    """At `escalate_at`; what it had finished is kept."""
    yard = BedrockYard((8,), seconds=None, done_share=0.25)
    yard.run()
    assert yard.results() == dict.fromkeys(range(32), Outcome.SUCCEEDED)
    assert [job.ended_as for job in yard.bedrock.jobs] == ["Stopped"]
    assert sum(yard.realtime_paid.values()) == 24
    assert set(yard.paid().values()) == {1}
    assert ESCALATE_AT <= yard.now < ESCALATE_AT + 120


def test_a_job_that_expires_keeps_what_it_has() -> None:
    """Nobody looked for longer than its window: it is collected as it is."""
    yard = BedrockYard((8,), seconds=None, done_share=0.25)
    yard.run(until=yard.now + 30)
    yard.now += 25 * 3600
    assert yard.bedrock.jobs[0].ended_as == "Expired"
    yard.vendor.look(yard.bedrock.jobs[0].id)
    assert len(list(yard.vendor.results(yard.bedrock.jobs[0].id))) == 8


def test_a_job_that_fails_as_a_whole() -> None:
    """Everything runs in realtime, at once: that it has no results is no wonder."""
    yard = BedrockYard(seconds=100.0, fails=True)
    yard.run()
    assert yard.results() == ALL_12
    assert yard.now < NOW + 300
    assert len(yard.realtime_paid) == 12
    assert [row.reason for row in yard.job_rows] == ["failed"]
    assert not yard.bedrock.objects.stored


@pytest.mark.parametrize("how", [{"fails": True}, {"seconds": None, "done_share": 0.0}], ids=["fails", "is stopped"])
def test_a_job_without_results_whose_submission_was_not_answered(how: dict[str, Any]) -> None:
    """It is found by its name, and is ours: nobody looks for another one until the deadline."""
    yard = BedrockYard(**{"seconds": 100.0, "loses_answers": 1} | how)
    yard.run()
    assert yard.results() == ALL_12
    assert len(yard.realtime_paid) == 12
    assert yard.now < ESCALATE_AT + 300
    assert [(row.is_done, row.strangers) for row in yard.job_rows] == [(True, ())]
    assert len(yard.bedrock.jobs) == 1


def test_items_with_tools_run_in_realtime() -> None:
    """No job takes them: the others go native, or all run in realtime at once if too few are left."""
    yard = BedrockYard(seconds=100.0, with_tools=frozenset({2, 9}))
    yard.run()
    assert yard.results() == ALL_12
    assert sorted(yard.index_of(body) for body in yard.realtime_paid) == [2, 9]
    assert set(yard.paid().values()) == {1}
    alone = BedrockYard(seconds=100.0, with_tools=frozenset(range(11)))
    alone.run()
    assert alone.results() == ALL_12
    assert not alone.bedrock.jobs
    assert [row.reason for row in alone.job_rows] == ["too_few"]


@pytest.mark.parametrize("when", ["before", "after", "fails"])
@pytest.mark.parametrize("share", [1.0, 0.5])
def test_an_executor_may_die_at_any_call(share: float, when: str) -> None:
    """Or that call fails, those to Bedrock and about its files included: one job, each item paid once, and no file of a
    job that was made is left."""
    met = 0
    for nth in range(1, 200):
        yard = BedrockYard((2,), nth=nth, when=when, seconds=100.0, done_share=share)
        yard.run()
        note = f"call {nth}: {yard.fuse.names[nth - 1 : nth]}"
        assert yard.results() == dict.fromkeys(range(8), Outcome.SUCCEEDED), note
        assert set(yard.paid().values()) == {1}, note
        (job,) = yard.bedrock.jobs
        token = job.request["clientRequestToken"]
        assert not [key for key in yard.bedrock.objects.stored if token in key], note
        if not yard.fuse.burnt:
            break
        met += 1
    assert met >= 20, f"only {met} calls"
