"""Steps on moto"s table and bucket."""

from tests.api.api import alice, aws_clients, cloud, mallory
from tests.aws import aws, batches, objects, progress, shards, stores, table

__all__ = [
    "alice",
    "aws",
    "aws_clients",
    "batches",
    "cloud",
    "mallory",
    "objects",
    "progress",
    "shards",
    "stores",
    "table",
]
