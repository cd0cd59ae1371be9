"""The functions, one per trigger: how large each is and what it is told through its environment."""

from __future__ import annotations

import json

from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.asset import lambda_asset
from infra.buckets import Buckets
from infra.environment import Environment
from infra.function import Function, Size

_API = {"memory_mib": 512, "timeout_seconds": 29}  # API Gateway gives up after 29 s.
# Lambda's longest, and a little less for steps of the state machine: a function that is too slow then fails before its
# state's timeout of 900 s, and is tried again.
_LONGEST = 900
_STEP = 890

SIZES = {
    "files": Size(**_API, concurrency=60),
    "batches": Size(**_API, concurrency=60),
    "account": Size(**_API, concurrency=20),
    # It goes on after API Gateway gave up: the export it makes is there when the caller asks again.
    "results": Size(memory_mib=1024, timeout_seconds=_LONGEST, concurrency=20),
    "admin": Size(memory_mib=256, timeout_seconds=30, concurrency=2),
    "drop": Size(memory_mib=512, timeout_seconds=300, concurrency=None),
    "validate": Size(memory_mib=1024, timeout_seconds=_STEP, concurrency=20),
    "dispatch": Size(memory_mib=512, timeout_seconds=120, concurrency=20),
    # It waits rather than computes: 0.58 of a CPU runs hundreds of calls of some seconds each.
    "work": Size(memory_mib=1024, timeout_seconds=_LONGEST, concurrency=None, feeds_itself=True),
    "fence": Size(memory_mib=512, timeout_seconds=110, concurrency=20),
    "finalize": Size(memory_mib=1024, timeout_seconds=_STEP, concurrency=20),
    "notify": Size(memory_mib=512, timeout_seconds=300, concurrency=10),
    "sweep": Size(memory_mib=256, timeout_seconds=110, concurrency=1),
    "assemble": Size(memory_mib=512, timeout_seconds=_LONGEST, concurrency=10),
}

DESCRIPTIONS = {
    "files": "API: files and uploads",
    "batches": "API: batches",
    "account": "API: models and the OpenAPI document",
    "results": "API: results of a batch, by page or as one file",
    "admin": "Creates accounts and API keys; invoked by operators",
    "drop": "Turns files put in the drop folder into batches",
    "validate": "Checks a batch's input and writes its work file",
    "dispatch": "Sends a batch's shards to the providers' queues",
    "work": "Runs the items of a shard at their provider",
    "fence": "Stops a batch's shards and waits for what is in flight",
    "finalize": "Writes a batch's output and error files",
    "notify": "Delivers a batch's results to the drop folder",
    "sweep": "Starts again what a crash left standing",
    "assemble": "Joins the parts of an upload",
}


class Functions(Construct):
    """`functions["validate"]` and so on; what they may do is granted by `infra.permissions`."""

    def __init__(
        self, scope: Construct, name: str, *, environment: Environment, table: dynamodb.Table, buckets: Buckets
    ) -> None:
        super().__init__(scope, name)
        code = lambda_.Code.from_asset(str(lambda_asset()))
        variables = {
            "TABLE_NAME": table.table_name,
            "DATA_BUCKET": buckets.data.bucket_name,
            "DROP_BUCKET": buckets.drop.bucket_name,
        }
        self.all = {
            each: Function(
                self,
                each,
                environment=environment,
                description=DESCRIPTIONS[each],
                size=size,
                code=code,
                variables=variables,
            )
            for each, size in SIZES.items()
        }
        self["work"].tell("PROVIDER_URLS", json.dumps(dict(environment.provider_urls)))

    def __getitem__(self, name: str) -> Function:
        return self.all[name]
