"""The worker on moto's table and bucket."""

from tests.api.api import cloud
from tests.aws import aws, aws_clients, batches, objects, progress, shards, table

__all__ = ["aws", "aws_clients", "batches", "cloud", "objects", "progress", "shards", "table"]
