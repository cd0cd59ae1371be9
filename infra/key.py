"""The one KMS key of a deployment (each costs a dollar a month). It encrypts

- the secrets of webhooks;
- a caller's own provider key, until its batch ends. The encryption context names the batch and its account, so a
  ciphertext copied to another batch's row cannot be read there;
- alarms on their way to people: AWS's own key for SNS does not let CloudWatch publish.
"""

from __future__ import annotations

from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct


class Key(Construct):
    def __init__(self, scope: Construct, name: str, *, removal: RemovalPolicy) -> None:
        super().__init__(scope, name)
        self.key = kms.Key(
            self,
            "Key",
            description="Batchyard: secrets that callers bring, and alarms",
            enable_key_rotation=True,
            removal_policy=removal,
        )
        self.key.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                actions=["kms:Decrypt", "kms:GenerateDataKey*"],
                resources=["*"],
                conditions={"StringEquals": {"aws:SourceAccount": Stack.of(self).account}},
            )
        )
