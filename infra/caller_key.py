"""The KMS key under which a caller's own provider key rests until its batch ends. The encryption context names the
batch and its account, so a ciphertext copied to another batch's row cannot be read there."""

from __future__ import annotations

from aws_cdk import RemovalPolicy
from aws_cdk import aws_kms as kms
from constructs import Construct


class CallerKey(Construct):
    def __init__(self, scope: Construct, name: str, *, removal: RemovalPolicy) -> None:
        super().__init__(scope, name)
        self.key = kms.Key(
            self,
            "Key",
            description="Batchyard: provider keys that callers bring with a batch",
            enable_key_rotation=True,
            removal_policy=removal,
        )
