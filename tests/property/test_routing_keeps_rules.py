"""Privacy without exception: over random catalogues, plans, failures and failovers no item reaches a lane that the
rules of its batch forbid, and each shard runs once."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from batchyard.adapters.aws.lanes import LaneView
from batchyard.adapters.aws.stores import Stores
from batchyard.core.batches import Batch
from batchyard.core.catalogue import Catalogue, Model
from batchyard.core.health import LaneHealth, LaneState
from batchyard.core.lane_pace import LanePace
from batchyard.core.lanes import Lane, LaneId, Mode
from batchyard.core.native_history import NativeHistory
from batchyard.core.providers import Provider
from batchyard.core.routing import Refusal, eligible, rejected
from batchyard.core.rules import PrivacyTier, RoutingMode, RoutingRules, ServiceTier
from batchyard.core.sharding import LaneShards, Shard
from batchyard.core.usage import Price
from batchyard.steps.plan import plan
from tests.steps.fleet import ITEMS_PER_SHARD, Fleet
from tests.steps.running import NOW, make_batch

CHAT = "/v1/chat/completions"
MODELS = ("m", "n", "o")
REGIONS = ("eu", "us")
SHARDS = 6


@st.composite
def catalogues(draw: st.DrawFn) -> Catalogue:
    providers, models = [], {}
    for number in range(draw(st.integers(1, 5))):
        name = f"p{number}"
        provider = Provider(
            name,
            "openai",
            f"https://{name}.example/v1",
            endpoints=draw(st.sampled_from([(), (CHAT,), ("/v1/embeddings",)])),
            regions=tuple(draw(st.lists(st.sampled_from(REGIONS), unique=True))),
            retention=draw(st.sampled_from([None, "none", "days:1", "days:30"])),
            private=draw(st.booleans()),
        )
        modes = tuple(Mode) if draw(st.booleans()) else (Mode.REALTIME,)
        providers.append(provider.in_modes(modes))
        has = draw(st.lists(st.sampled_from(MODELS), unique=True, min_size=1))
        costs = [(model, draw(st.integers(0, 5))) for model in has]
        models[name] = [Model(model, Price(cost, cost, cost)) for model, cost in costs]
    return Catalogue(providers, models)


RULES = st.builds(
    RoutingRules,
    mode=st.sampled_from(RoutingMode),
    privacy=st.sampled_from(PrivacyTier),
    tier=st.sampled_from(ServiceTier),
    models=st.lists(st.sampled_from(MODELS), unique=True).map(tuple),
    regions=st.lists(st.sampled_from((*REGIONS, "global")), unique=True).map(tuple),
)


def is_allowed(provider: Provider, rules: RoutingRules) -> bool:
    """The rules once more, in other words than the code's."""
    if CHAT not in provider.endpoints:
        return False
    if rules.privacy == "confidential" and provider.retention != "none":
        return False
    if "restricted" in (rules.privacy,) and not provider.private:
        return False
    if provider.private and rules.mode == "public_only":
        return False
    if not provider.private and rules.mode == "edge_only":
        return False
    return not rules.regions or "global" in rules.regions or any(each in provider.regions for each in rules.regions)


def keeps_no_jobs(provider: Provider, rules: RoutingRules) -> bool:
    """Vendors keep their own batches for weeks, also for customers whose calls they keep nothing of."""
    return rules.privacy != "confidential" or provider.private


def planned(batch: Batch, catalogue: Catalogue, lanes: list[Lane], random: Random) -> list[LaneShards]:
    """The plan of a batch whose items may take `lanes`, with whatever is known of them."""

    class Known:
        def look(self, lane: LaneId) -> LaneView:
            health = LaneHealth(random.choice([LaneState.CLOSED, LaneState.OPEN]))
            return LaneView(health, LanePace(rate=random.choice([None, 0.0001, 10.0])))

        def history(self, lane: LaneId) -> NativeHistory:
            return NativeHistory(unsupported_at=random.choice([0, NOW]))

    first, *others = lanes
    shards = [Shard(n, 0, n * 100, 100, ITEMS_PER_SHARD, n * ITEMS_PER_SHARD) for n in range(SHARDS)]
    entry = LaneShards(first, 0, SHARDS, SHARDS * ITEMS_PER_SHARD, others=tuple(others))
    stores = replace(cast(Any, NO_STORES), native_lanes=Known())
    found = plan(
        batch,
        [entry],
        shards,
        now=NOW,
        pace=1.0,
        catalogue=catalogue,
        stores=stores,
        known=cast(Any, Known()),
    )
    assert sum(each.items for each in found.lanes) == SHARDS * ITEMS_PER_SHARD
    assert {each.lane for each in found.lanes} <= {each.lane for each in found.considered[0] if each.items} | {
        replace(lane, mode=Mode.REALTIME) for lane in lanes
    }
    return list(found.lanes)


NO_STORES = Stores(**dict.fromkeys(Stores.__dataclass_fields__))  # type: ignore[arg-type]


@given(catalogues(), RULES, st.sampled_from(MODELS))
def test_offers_are_eligible_or_rejected(catalogue: Catalogue, rules: RoutingRules, model: str) -> None:
    """Each offer of what may be asked for is one of both, by the rules; and if nobody is eligible that is a refusal."""
    found = eligible(model, None, catalogue, CHAT, rules)
    offers = {offer for each in rules.models or (model,) for offer in catalogue.find(each)}
    allowed = {offer for offer in offers if is_allowed(catalogue.providers[offer.provider], rules)}
    assert {each.offer for each in rejected(model, None, catalogue, CHAT, rules)} == offers - allowed
    assert (set() if isinstance(found, Refusal) else set(found)) == allowed
    assert isinstance(found, Refusal) == (not allowed)


@settings(max_examples=60)
@given(catalogues(), RULES, st.sampled_from(MODELS), st.randoms(use_true_random=False), st.booleans())
def test_no_item_reaches_a_lane_that_its_rules_forbid(
    catalogue: Catalogue, rules: RoutingRules, model: str, random: Random, one_chain: bool
) -> None:
    """Lanes go down and come back, jobs are given up, workers and time run away: every lane that an item is sent to
    keeps the rules, and in the end each shard has run once."""
    offers = eligible(model, None, catalogue, CHAT, rules)
    if isinstance(offers, Refusal):
        return
    batch = replace(make_batch("batch_x"), rules=rules)
    entries = planned(batch, catalogue, [Lane(offer.provider, offer.model) for offer in offers], random)
    yard = Fleet(entries, rules, one_chain=one_chain)
    lanes = sorted({lane for entry in entries for lane in (entry.lane, *entry.others)})
    for _ in range(random.randrange(40)):
        match random.randrange(5):
            case 0:
                yard.break_lane(random.choice(lanes), random.choice([LaneState.OPEN, LaneState.BLOCKED]))
            case 1:
                yard.down.pop(random.choice(lanes), None)
            case 2:
                yard.rates[random.choice(lanes)] = random.choice([0.0001, 100.0])
                yard.sweep()
            case 3:
                yard.now = min(yard.now + random.randrange(20_000), yard.batch.expires_at - 10_000)
                yard.sweep()
            case _:
                yard.deliver(random, dies=random.random() < 0.2)
    for job in yard.plan.jobs:
        yard.give_up(job)
    yard.down.clear()
    yard.run(random)
    reached = {lane for entry in yard.plan.lanes for lane in (entry.lane, *entry.others)}
    reached |= {Lane(each.provider, each.model, each.mode) for each in yard.mail.sent} | set(lanes)
    for lane in reached:
        assert is_allowed(catalogue.providers[lane.provider], rules), lane
        assert lane.model in (rules.models or (model,))
        assert lane.mode is not Mode.NATIVE or keeps_no_jobs(catalogue.providers[lane.provider], rules), lane
    assert sorted(number for number, _ in yard.served) == list(range(SHARDS))
    assert set(yard.served.values()) == {1}
