"""The rules of a batch, on their way into its plan and its messages: `plan` and `shard_message`, with a catalogue and
with what is known of its lanes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import pytest

from batchyard.adapters.aws.lanes import LaneView
from batchyard.adapters.aws.stores import Stores
from batchyard.core.batches import Batch
from batchyard.core.catalogue import Catalogue, Model
from batchyard.core.health import LaneHealth, LaneState
from batchyard.core.lane_pace import LanePace
from batchyard.core.lanes import Lane, LaneId, Mode
from batchyard.core.messages import shard_message
from batchyard.core.native_history import NativeHistory
from batchyard.core.planning import Planned
from batchyard.core.providers import Provider
from batchyard.core.routing import Verdict
from batchyard.core.rules import PRIORITY_TURNS, PrivacyTier, RoutingMode, RoutingRules, ServiceTier
from batchyard.core.sharding import LaneShards, Plan, Shard
from batchyard.core.usage import Price
from batchyard.steps.plan import plan
from tests.steps.running import NOW, make_batch

CHAT = "/v1/chat/completions"
BEDROCK = "https://bedrock-runtime.eu-central-1.amazonaws.com"
SHARDS = tuple(Shard(number, 0, number * 10, 10, 100, number * 100) for number in range(10))
ITEMS = sum(shard.items for shard in SHARDS)
CHEAP, DEAR = "cheap", "dear"


class Known:
    """What is known of lanes. `rates`: calls per second in realtime, by provider; `down`: those in trouble."""

    def __init__(self, rates: Mapping[str, float] | None = None, down: frozenset[str] = frozenset()) -> None:
        self._rates, self._down = rates or {}, down

    def look(self, lane: LaneId) -> LaneView:
        health = LaneHealth(LaneState.OPEN if lane.provider in self._down else LaneState.CLOSED)
        return LaneView(health, LanePace(rate=self._rates.get(lane.provider)))

    def history(self, lane: LaneId) -> NativeHistory:
        return NativeHistory()


def provider(name: str = "p", kind: str = "openai", *, native: bool = False, **fields: Any) -> Provider:
    made = Provider(name, kind, BEDROCK if kind == "bedrock" else f"https://{name}.example/v1", **fields)
    return made.in_modes((Mode.REALTIME, Mode.NATIVE)) if native else made


def a_batch(**rules: Any) -> Batch:
    return replace(make_batch("batch_x"), rules=RoutingRules(**rules), expires_at=NOW + 86_400)


def planned(batch: Batch, providers: list[Provider], known: Known | None = None) -> Planned:
    """The plan of a thousand items that may take any of these, each of which costs ten times the one before."""
    known = known or Known()
    costs = {each.name: int(10**place) for place, each in enumerate(providers)}
    catalogue = Catalogue(providers, {name: [Model("m", Price(cost, cost, cost))] for name, cost in costs.items()})
    first, *others = [Lane(each.name, "m") for each in providers]
    entry = LaneShards(first, 0, len(SHARDS), ITEMS, others=tuple(others))
    stores = cast(Stores, type("Nothing", (), {"native_lanes": known}))
    return plan(batch, [entry], SHARDS, now=NOW, pace=1.0, catalogue=catalogue, stores=stores, known=cast(Any, known))


def taken(found: Planned) -> list[tuple[str, Mode]]:
    return [(each.lane.provider, each.lane.mode) for each in found.lanes]


@pytest.mark.parametrize(
    ("kind", "private", "privacy", "mode"),
    [
        ("openai", False, PrivacyTier.STANDARD, Mode.NATIVE),
        ("openai", False, PrivacyTier.CONFIDENTIAL, Mode.REALTIME),
        ("anthropic", False, PrivacyTier.CONFIDENTIAL, Mode.REALTIME),
        ("bedrock", False, PrivacyTier.CONFIDENTIAL, Mode.NATIVE),
        ("openai", True, PrivacyTier.CONFIDENTIAL, Mode.NATIVE),
        ("openai", True, PrivacyTier.RESTRICTED, Mode.NATIVE),
    ],
)
def test_confidential_items_are_in_no_batch_of_a_vendors_own(
    kind: str, private: bool, privacy: PrivacyTier, mode: Mode
) -> None:
    """It would be half the price, and the provider keeps nothing of calls; but it would keep the job. Bedrock's are
    files in the deployment's own bucket."""
    found = planned(a_batch(privacy=privacy), [provider("p", kind, native=True, retention="none", private=private)])
    assert taken(found) == [("p", mode)]
    if mode is Mode.REALTIME:
        verdicts = {each.lane.mode: each.verdict for each in found.considered[0]}
        assert verdicts == {Mode.NATIVE: Verdict.PRIVACY, Mode.REALTIME: Verdict.SELECTED}


@pytest.mark.parametrize("rate", [None, 50.0])
def test_an_operators_limit_is_the_rate_of_a_lane_that_nobody_has_used(rate: float | None) -> None:
    """One call a minute: a thousand items in realtime would take most of a day, so their job would have to be given up
    at once, and is not submitted, whatever the provider itself takes."""
    limited, free = provider(native=True, requests_per_minute=1), provider(native=True)
    known = Known({"p": rate} if rate else None)
    found = planned(a_batch(), [limited], known)
    assert found.considered[0][0].verdict is Verdict.TOO_LATE
    assert taken(planned(a_batch(), [free], known)) == [("p", Mode.NATIVE)]


def test_modes_that_a_batch_may_not_run_in_have_that_as_their_verdict() -> None:
    """Whatever they would save; realtime is always there."""
    vendor = provider().in_modes((Mode.REALTIME, Mode.FLEX, Mode.NATIVE))
    cases = (((), Mode.NATIVE), ((Mode.REALTIME, Mode.FLEX), Mode.FLEX), ((Mode.REALTIME,), Mode.REALTIME))
    for modes, wanted in cases:
        found = planned(replace(a_batch(), modes=modes), [vendor])
        assert taken(found) == [("p", wanted)]
        left_out = {each.lane.mode for each in found.considered[0] if each.verdict is Verdict.POLICY}
        assert left_out == (set(Mode) - set(modes) if modes else set())


def test_priority_runs_call_by_call() -> None:
    """Though the vendor's own batch is half the price."""
    vendor = [provider(native=True)]
    assert taken(planned(a_batch(), vendor)) == [("p", Mode.NATIVE)]
    found = planned(a_batch(tier=ServiceTier.PRIORITY), vendor)
    assert taken(found) == [("p", Mode.REALTIME)]
    assert found.considered[0][0].verdict is Verdict.IMMEDIATE


@pytest.mark.parametrize(("tier", "turns"), [(tier, 1) for tier in ServiceTier if tier != "priority"])
def test_priority_goes_ahead_of_the_other_batches(tier: ServiceTier, turns: int) -> None:
    """Its shards' messages say so to the workers, which share calls out by it."""
    assert message_turns(tier) == turns
    assert message_turns(ServiceTier.PRIORITY) == PRIORITY_TURNS > turns


def message_turns(tier: ServiceTier) -> int:
    batch = a_batch(tier=tier)
    found = Plan("run", ITEMS, len(SHARDS), planned(batch, [provider()]).lanes, 8, False, None)
    return shard_message(replace(batch, plan=found), SHARDS[0]).turns


@pytest.mark.parametrize(
    ("rules", "goes_to"),
    [
        ({"mode": RoutingMode.CHEAPEST}, CHEAP),
        ({"mode": RoutingMode.SLA_AWARE}, DEAR),
        ({"mode": RoutingMode.CHEAPEST, "tier": ServiceTier.PRIORITY}, DEAR),
    ],
)
def test_who_wants_to_be_in_time_leaves_a_lane_in_trouble(rules: dict[str, Any], goes_to: str) -> None:
    """Others wait for the cheapest one as long as there is time."""
    known = Known(down=frozenset({CHEAP}))
    found = planned(a_batch(**rules), [provider(CHEAP), provider(DEAR)], known)
    assert taken(found) == [(goes_to, Mode.REALTIME)]
    at_once = planned(replace(a_batch(**rules), early_failover=True), [provider(CHEAP), provider(DEAR)], known)
    assert taken(at_once) == [(DEAR, Mode.REALTIME)]


def test_sla_aware_keeps_a_margin() -> None:
    """A cheap lane that will be done barely in time gets nothing, a dearer one that has time to spare everything."""
    known = Known({CHEAP: 1.0, DEAR: 50.0})
    two, soon = [provider(CHEAP), provider(DEAR)], NOW + ITEMS + 300
    cheapest = replace(a_batch(), expires_at=soon)
    assert CHEAP in dict(taken(planned(cheapest, two, known)))
    aware = replace(a_batch(mode=RoutingMode.SLA_AWARE), expires_at=soon)
    assert taken(planned(aware, two, known)) == [(DEAR, Mode.REALTIME)]


def test_hybrid_takes_the_edge_first_and_the_public_for_the_rest() -> None:
    """A private endpoint at ten times the price gets all that it can make; only what is left is anybody else's."""
    two = [provider("public"), provider("edge", private=True)]
    assert taken(planned(a_batch(), two)) == [("public", Mode.REALTIME)]
    hybrid = a_batch(mode=RoutingMode.HYBRID)
    assert taken(planned(hybrid, two)) == [("edge", Mode.REALTIME)]
    slow = planned(hybrid, two, Known({"edge": 0.01}))
    assert [each.lane.provider for each in slow.lanes] == ["edge", "public"]
    assert sum(each.items for each in slow.lanes) == ITEMS


def test_privacy_constrained_takes_who_keeps_the_least() -> None:
    """Before the price counts; a private endpoint keeps nothing that is not the owner's."""
    keeps = [provider("silent"), provider("month", retention="days:30"), provider("day", retention="days:1")]
    constrained = a_batch(mode=RoutingMode.PRIVACY_CONSTRAINED)
    assert taken(planned(constrained, keeps)) == [("day", Mode.REALTIME)]
    assert taken(planned(constrained, [*keeps, provider("own", private=True)])) == [("own", Mode.REALTIME)]
