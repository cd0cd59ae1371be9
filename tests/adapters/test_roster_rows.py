"""Roster rows against moto: which batches a provider's workers find there."""

from __future__ import annotations

from dataclasses import replace

from batchyard.adapters.aws.rosters import Rosters
from batchyard.adapters.aws.table import Table
from batchyard.core.messages import ShardMessage
from batchyard.core.sharding import Shard

NOW = 1_800_000_000
MESSAGE = ShardMessage(
    "acct_a", "batch_1", "run", "/v1/embeddings", "openai", "m", Shard(0, 0, 0, 9, 1, 0), 1, 1, None, None, NOW + 86_400
)


def test_a_batch_is_on_the_roster_of_its_provider_once_for_each_lane(table: Table) -> None:
    """Entering twice changes nothing but that it was never taken up; the newest batch comes first."""
    rosters = Rosters(table)
    other_lane, newer = replace(MESSAGE, model="n"), replace(MESSAGE, batch_id="batch_2")
    rosters.enter([MESSAGE, other_lane, newer], NOW)
    rosters.enter([MESSAGE, replace(MESSAGE, provider="groq")], NOW)
    found = rosters.of("openai")
    assert [each.message for each in found] == [newer, other_lane, MESSAGE]
    assert {(each.listed_at, each.taken_up_at) for each in found} == {(NOW, 0)}


def test_who_was_taken_up_is_known_and_who_is_struck_off_is_gone(table: Table) -> None:
    """Taking up a batch that was struck off meanwhile does not bring it back."""
    rosters = Rosters(table)
    rosters.enter([MESSAGE], NOW)
    rosters.take_up(MESSAGE, NOW + 7)
    assert [each.taken_up_at for each in rosters.of("openai")] == [NOW + 7]
    rosters.strike(MESSAGE)
    rosters.take_up(MESSAGE, NOW + 9)
    assert rosters.of("openai") == []


def test_a_batch_with_a_price_limit_is_on_no_roster(table: Table) -> None:
    """Whoever drew its shards would not ask whether there is money left for them."""
    rosters = Rosters(table)
    rosters.enter([replace(MESSAGE, max_price_picousd=1)], NOW)
    assert rosters.of("openai") == []
