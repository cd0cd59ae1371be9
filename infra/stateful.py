"""The stack that must outlive the others: the table, the buckets and the key."""

from __future__ import annotations

from aws_cdk import CfnOutput, DefaultStackSynthesizer, RemovalPolicy, Stack
from constructs import Construct

from infra.buckets import Buckets
from infra.database import Database
from infra.deployment import Deployment
from infra.key import Key


class StatefulStack(Stack):
    def __init__(self, scope: Construct, name: str, *, deployment: Deployment) -> None:
        super().__init__(
            scope,
            name,
            description="Batchyard: table, buckets and key",
            termination_protection=deployment.retain_data,
            synthesizer=DefaultStackSynthesizer(generate_bootstrap_version_rule=False),
        )
        removal = RemovalPolicy.RETAIN if deployment.retain_data else RemovalPolicy.DESTROY
        self.table = Database(self, "Database", existing=deployment.existing_table, removal=removal).table
        self.buckets = Buckets(self, "Buckets", deployment=deployment, removal=removal)
        self.key = Key(self, "CallerKey", removal=removal).key
        CfnOutput(self, "DropBucket", value=self.buckets.drop.bucket_name, description="Files go under drop/<account>/")
