"""The SQS message that sends one shard to a worker. It carries all that the worker needs, so that a shard costs no
read of the batch row."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import orjson

from batchyard.core.batches import Batch, BatchRef
from batchyard.core.errors import BooksDoNotBalance
from batchyard.core.estimates import shard_estimate_picousd
from batchyard.core.fields import known_fields
from batchyard.core.json_types import JsonObject
from batchyard.core.lanes import Mode
from batchyard.core.sharding import Shard
from batchyard.core.usage import Price


@dataclass(frozen=True, slots=True)
class ShardMessage:
    """`expires_at`: unix second after which nothing of the batch may run. `follower`: the shard that is sent when this
    one settles. `concurrency`: ceiling on calls in flight within this shard. `caller_pays`: the calls are made with the
    provider key that the batch's caller brought. `weight`: how large its account's share of a busy lane is;
    `turns`: how many turns of that the batch gets for each one of another batch."""

    account_id: str
    batch_id: str
    run: str
    endpoint: str
    provider: str
    model: str
    shard: Shard
    shards: int
    progress_rows: int
    follower: int | None
    concurrency: int | None
    expires_at: int
    caller_pays: bool = False
    weight: int = 1
    mode: Mode = Mode.REALTIME
    flex_until: int = 0
    """If it is in flex: the unix second from which on it runs in realtime instead; 0: never."""
    turns: int = 1
    max_price_picousd: int | None = None
    """What its batch may cost at most; None: whatever it costs."""
    estimate_picousd: int = 0
    """What the shard may cost, if its batch has a price limit."""
    price: Price | None = None
    """What its items cost in realtime by their batch's quote; None: as the catalogue says."""

    def as_of(self, now: float) -> ShardMessage:
        """As it is to be run now: in realtime, once flex has had its time."""
        return replace(self, mode=Mode.REALTIME) if self.mode is Mode.FLEX and 0 < self.flex_until <= now else self

    @property
    def is_drawn_freely(self) -> bool:
        """Whether a worker may take up the shards of its batch in any order and number, without their messages."""
        return self.concurrency is None and self.max_price_picousd is None

    @property
    def batch(self) -> BatchRef:
        return BatchRef(self.account_id, self.batch_id)

    def to_json(self) -> str:
        price = self.price.to_row() if self.price else None
        return orjson.dumps(asdict(self) | {"price": price}).decode()

    @classmethod
    def from_json(cls, text: str) -> ShardMessage:
        """A message of any version: a rollback must not poison the queue."""
        fields: JsonObject = orjson.loads(text)
        shard = Shard(**known_fields(Shard, fields["shard"]))
        mode = Mode(fields.get("mode", Mode.REALTIME))
        price = Price.from_row(fields["price"]) if fields.get("price") else None
        return cls(**known_fields(cls, fields) | {"shard": shard, "mode": mode, "price": price})


def shard_message(batch: Batch, shard: Shard) -> ShardMessage:
    """The message for `shard` of a batch whose plan is made."""
    plan = batch.plan
    if plan is None:
        raise BooksDoNotBalance(f"batch {batch.id} has no plan, so it has no shards")
    entry = plan.lane_of(shard.number)
    lane = entry.lane
    return ShardMessage(
        account_id=batch.account_id,
        batch_id=batch.id,
        run=plan.run,
        endpoint=shard.endpoint or batch.endpoint,
        provider=lane.provider,
        model=lane.model,
        shard=shard,
        shards=plan.shards,
        progress_rows=plan.progress_rows,
        follower=plan.follower(shard.number),
        concurrency=plan.shard_concurrency,
        expires_at=batch.expires_at,
        caller_pays=batch.caller_pays,
        weight=batch.weight,
        turns=batch.rules.tier.turns,
        mode=lane.mode,
        flex_until=entry.escalate_at if lane.mode is Mode.FLEX else 0,
        max_price_picousd=batch.max_price_picousd,
        estimate_picousd=shard_estimate_picousd(batch.estimate_picousd, plan.items, shard.items),
        price=batch.pinned_price(lane),
    )
