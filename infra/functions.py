"""The functions, one per trigger: how large each is, and its environment variables."""

from __future__ import annotations

import json
from collections.abc import Mapping

from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.asset import lambda_asset
from infra.buckets import Buckets
from infra.deployment import Deployment
from infra.function import Function, Spec

_LONGEST = 900
"""Lambda's limit."""
_STEP = 890
"""A step of the state machine that is too slow fails before its state's timeout of 900 s, and is tried again."""
_API = 29
"""API Gateway waits no longer."""

SPECS = {
    "files": Spec("API: files and uploads", memory_mib=512, timeout_seconds=_API, concurrency=60),
    "batches": Spec("API: batches", memory_mib=512, timeout_seconds=_API, concurrency=60),
    "account": Spec(
        "API: models, webhooks and the OpenAPI document", memory_mib=512, timeout_seconds=_API, concurrency=20
    ),
    # It goes on when API Gateway has given up, so that the export is there when the caller asks again.
    # An export keeps the processor busy; with 1,769 MiB Lambda gives a whole one.
    "results": Spec(
        "API: results of a batch, by page or as one file", memory_mib=1769, timeout_seconds=_LONGEST, concurrency=20
    ),
    "admin": Spec(
        "Creates accounts and API keys; invoked by operators", memory_mib=256, timeout_seconds=30, concurrency=2
    ),
    "drop": Spec(
        "Turns files put in the drop folder into batches", memory_mib=512, timeout_seconds=300, concurrency=None
    ),
    # 1,769 MB are one whole CPU. With less it would be slower in proportion, and it has to read 5 GB in 15 minutes.
    "validate": Spec(
        "Checks a batch's input and writes its work file", memory_mib=1769, timeout_seconds=_STEP, concurrency=20
    ),
    "dispatch": Spec(
        "Sends a batch's shards to the providers' queues", memory_mib=512, timeout_seconds=120, concurrency=20
    ),
    # It mostly waits: 0.58 of a CPU is enough for hundreds of calls of some seconds each.
    "work": Spec(
        "Runs the items of a shard at their provider",
        memory_mib=1024,
        timeout_seconds=_LONGEST,
        concurrency=None,
        feeds_itself=True,
        calls_providers=True,
    ),
    # A job's input file and its results are on its disk, the requests of a shard and some answers in memory.
    "jobs": Spec(
        "Submits provider jobs, looks after them and stores their results",
        memory_mib=1024,
        timeout_seconds=_LONGEST,
        concurrency=10,
        disk_mib=4096,
        calls_providers=True,
    ),
    "fence": Spec(
        "Stops a batch's shards and waits for what is in flight", memory_mib=512, timeout_seconds=110, concurrency=20
    ),
    # What it holds of answers is bounded; its speed grows with its memory. New accounts are given no more than this.
    "finalize": Spec("Writes a batch's output and error files", memory_mib=3008, timeout_seconds=_STEP, concurrency=20),
    "notify": Spec(
        "Brings a batch's results to the drop folder, and has webhooks told",
        memory_mib=512,
        timeout_seconds=300,
        concurrency=10,
    ),
    # It looks a name up, and then waits for its receiver: 15 seconds at most.
    "deliver": Spec(
        "Makes one attempt to deliver an event to a webhook", memory_mib=256, timeout_seconds=45, concurrency=20
    ),
    # It ends before the next one starts. Its traces would cost three times what it does.
    "sweep": Spec(
        "Starts again what a crash left standing", memory_mib=256, timeout_seconds=55, concurrency=1, traced=False
    ),
    "assemble": Spec("Joins the parts of an upload", memory_mib=512, timeout_seconds=_LONGEST, concurrency=10),
}


API = ("files", "batches", "account", "results")
"""The functions that answer requests."""


class Functions(Construct):
    """`functions["validate"]` and so on; `infra.permissions` grants what they may do."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        deployment: Deployment,
        reserved: Mapping[str, int | None],
        table: dynamodb.ITable,
        buckets: Buckets,
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
                deployment=deployment,
                spec=spec,
                reserved=reserved[each],
                code=code,
                variables=variables,
            )
            for each, spec in SPECS.items()
        }
        for caller in ("work", "jobs"):
            self[caller].set_variable("PROVIDER_URLS", json.dumps(dict(deployment.provider_urls)))
            self[caller].set_variable("SECRET_PREFIX", deployment.secret_prefix)
        self["work"].set_variable("LANE_LIMITS", json.dumps([dict(each) for each in deployment.lane_limits]))
        for planner in ("batches", "validate", "jobs"):
            self[planner].set_variable("PROVIDER_MODES", json.dumps(deployment.modes))
        for creator in ("batches", "drop"):
            self[creator].set_variable("POLICY", json.dumps(dict(deployment.policy)))
        self["jobs"].set_variable("DEPLOYMENT", deployment.name)
        if deployment.cors_origins:
            for served in API:
                self[served].set_variable("CORS_ORIGINS", json.dumps(list(deployment.cors_origins)))

    def __getitem__(self, name: str) -> Function:
        return self.all[name]
