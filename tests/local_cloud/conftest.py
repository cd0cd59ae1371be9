"""The local cloud's rooms; those of its parts that run in this process do so on moto."""

from tests.aws import aws, aws_clients

__all__ = ["aws", "aws_clients"]
