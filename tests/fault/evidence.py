"""Evidence of a run: parts that rows name, bodies that the provider got, figures for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from batchyard.core.parts import decode_part
from local.cloud import LocalCloud
from local.provider import Served, SimulatedProvider, request_hash
from tests.customer import Customer, chat_line


def own_lines(customer: Customer, count: int, simulate: Mapping[int, str] | None = None) -> list[dict[str, Any]]:
    """Lines whose bodies no other test sends. `simulate`: what the provider is to do with some of them."""
    wishes = simulate or {}
    return [chat_line(n, wishes.get(n), metadata={"of": customer.account_id}) for n in range(count)]


def flushed(customer: Customer, batch_id: str) -> set[int]:
    """The indexes of the items whose results are in a part that a shard's row names."""
    s3, bucket = customer.cloud.client("s3"), customer.cloud.data_bucket
    _, shards = customer.rows(batch_id)
    keys = [key for shard in shards for key in shard.get("parts", ())]
    parts = [s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys]
    indexes = [result.index for part in parts for result in decode_part(part)]
    assert len(indexes) == len(set(indexes)), "an item is in two parts"
    return set(indexes)


def ended(cloud: LocalCloud, batch_id: str) -> bool:
    """Whether the batch's first execution is over."""
    arn = f"{cloud.state_machines[0].replace(':stateMachine:', ':execution:')}:{batch_id}"
    return bool(cloud.client("stepfunctions").describe_execution(executionArn=arn)["status"] != "RUNNING")


def served(provider: SimulatedProvider, lines: Iterable[Mapping[str, Any]]) -> list[Served]:
    """How often each line's body was received, and answered well."""
    counts = provider.counts()
    return [counts.get(request_hash(line["body"]), Served(0, 0)) for line in lines]


def note(what: str, figures: Mapping[str, float]) -> None:
    """For people: what was done to a run and what it cost. `pytest -rP` shows it."""
    print(f"{what}: " + ", ".join(f"{name} {figure}" for name, figure in sorted(figures.items())))
