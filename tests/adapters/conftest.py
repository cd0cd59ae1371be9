"""Adapters on moto."""

from tests.aws import aws, aws_clients, batches, objects, progress, shards, table

__all__ = ["aws", "aws_clients", "batches", "objects", "progress", "shards", "table"]
