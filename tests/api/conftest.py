"""The API's functions on moto."""

from tests.api.api import alice, cloud, mallory
from tests.aws import aws, aws_clients, batches, objects, progress, shards, table

__all__ = ["alice", "aws", "aws_clients", "batches", "cloud", "mallory", "objects", "progress", "shards", "table"]
