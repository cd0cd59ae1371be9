"""The one table (row shapes: batchyard.core and batchyard.adapters.aws), made here or found by its name."""

from __future__ import annotations

from aws_cdk import RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from constructs import Construct


class Database(Construct):
    """`existing`: the name of a table to use instead of making one. A table that was restored from a backup has neither
    TTL nor point-in-time recovery nor deletion protection; an operator has to switch them on (docs/deploy.md)."""

    def __init__(self, scope: Construct, name: str, *, existing: str | None, removal: RemovalPolicy) -> None:
        super().__init__(scope, name)
        self.table: dynamodb.ITable
        if existing:
            self.table = dynamodb.Table.from_table_name(self, "Table", existing)
            return
        self.table = dynamodb.Table(
            self,
            "Table",
            partition_key=dynamodb.Attribute(name="pk", type=dynamodb.AttributeType.STRING),
            sort_key=dynamodb.Attribute(name="sk", type=dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=dynamodb.TableEncryption.AWS_MANAGED,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            time_to_live_attribute="ttl",
            deletion_protection=removal is RemovalPolicy.RETAIN,
            removal_policy=removal,
        )
