"""The one table as `infra/database.py` declares it, made without a synth: for tests and benchmarks of single steps. A
test compares it with the template."""

from __future__ import annotations

from typing import Any

from batchyard.adapters.aws.table import Table


def create_table(client: Any, name: str) -> Table:
    """An empty table of that name. `client` is a boto3 DynamoDB client, usually one that calls moto."""
    client.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in ("pk", "sk")],
        BillingMode="PAY_PER_REQUEST",
    )
    return Table(client, name)
