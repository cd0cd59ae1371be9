"""What each function may do, in one place, so that it can be reviewed.

S3 grants are by the prefixes of `batchyard.core.keys`; keys hold account and batch ids, so a prefix is the narrowest
grant there is. A role that may not list a bucket gets 403 instead of 404 for a missing object. `finds` names the roles
that must know the difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from aws_cdk import ArnFormat, Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3

from batchyard.core.providers import Provider
from infra.buckets import Buckets
from infra.function import Function
from infra.functions import Functions
from infra.provider_queues import ProviderQueues

_GET, _PUT, _UPDATE, _DELETE, _QUERY = (
    f"dynamodb:{action}" for action in ("GetItem", "PutItem", "UpdateItem", "DeleteItem", "Query")
)

TABLE_ACTIONS = {
    "files": (_GET, _QUERY, _PUT, _UPDATE, _DELETE),
    "batches": (_GET, _QUERY, _PUT, _UPDATE),
    "account": (_GET, _QUERY, _PUT, _UPDATE, _DELETE),
    "results": (_GET, _QUERY, _UPDATE),
    "admin": (_GET, _QUERY, _PUT, _UPDATE),
    "drop": (_GET, _PUT, _UPDATE),
    "validate": (_GET, _PUT, _UPDATE, _DELETE),
    "dispatch": (_GET, _QUERY, _UPDATE),
    "work": (_GET, _QUERY, _UPDATE, _DELETE),
    "jobs": (_GET, _QUERY, _UPDATE),
    "fence": (_GET, _QUERY, _UPDATE),
    "finalize": (_GET, _QUERY, _PUT, _UPDATE, _DELETE),
    "notify": (_GET, _PUT),
    "deliver": (_GET, _PUT, _UPDATE, _DELETE),
    "sweep": (_GET, _QUERY, _UPDATE, _DELETE),
    "assemble": (_GET, _UPDATE),
}
"""A transaction needs the actions of the writes in it. All functions of the API count the requests of a key."""

_READ = ("s3:GetObject",)
_READ_VERSION = ("s3:GetObject", "s3:GetObjectVersion")
_WRITE = ("s3:PutObject", "s3:AbortMultipartUpload")
_REMOVE = ("s3:DeleteObject",)
_LEFTOVERS: Mapping[str, tuple[str, ...]] = {"work/": _REMOVE, "parts/": _REMOVE, "exports/": _REMOVE}
"""What batches hold of files that are gone."""

DATA_ACTIONS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "files": {
        "files/": _READ + _WRITE + _REMOVE,
        "incoming/": _READ + _WRITE + _REMOVE,
        "uploads/": _READ + _WRITE + _REMOVE,
        **_LEFTOVERS,
    },
    "batches": {"files/": _READ + _WRITE + _REMOVE, "incoming/": _READ + _REMOVE},
    "results": {"files/": _READ, "work/": _READ, "parts/": _READ, "exports/": _READ + _WRITE},
    "drop": {"files/": _READ + _WRITE},
    "validate": {"files/": _READ, "work/": _WRITE + _REMOVE},
    "dispatch": {"work/": _READ},
    "work": {"work/": _READ, "parts/": _WRITE},
    "jobs": {"work/": _READ, "parts/": _WRITE},
    "finalize": {"work/": _READ, "parts/": _READ, "files/": _WRITE + _REMOVE},
    "notify": {"files/": _READ},
    "sweep": {"files/": _REMOVE, "incoming/": _REMOVE, **_LEFTOVERS, "work/": _READ + _REMOVE},
    "assemble": {"uploads/": _READ + _REMOVE, "files/": _WRITE},
}
RUN_MODEL = "bedrock:InvokeModel"
"""What Converse needs, too.
https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-prereq.html"""
_MOVE_DEAD_LETTERS = (
    "sqs:StartMessageMoveTask",
    "sqs:ReceiveMessage",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
)
"""Of the dead-letter queue; of the queue that they go to, sqs:SendMessage.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues-redrive-permissions.html"""
DROP_ACTIONS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "drop": {"drop/": _READ_VERSION, "results/": _READ + _WRITE + _REMOVE},
    "notify": {"drop/": _READ, "results/": _READ + _WRITE + _REMOVE},
}
_EVENT_AGE_SECONDS = 300
"""How long a start of the native executor or of a delivery waits at most, for concurrency."""
FINDS = {"files", "batches", "results", "drop", "validate", "finalize", "notify", "sweep", "assemble"}


@dataclass(frozen=True, slots=True)
class ModelArns:
    """Of some regions: their models and inference profiles. `elsewhere`: models of any region, to be granted with the
    condition `only_by_profile`."""

    models: tuple[str, ...]
    profiles: tuple[str, ...]
    elsewhere: str

    @classmethod
    def of(cls, stack: Stack, regions: Sequence[str]) -> ModelArns:
        profiles = (
            f"arn:{stack.partition}:bedrock:{region}:{stack.account}:{kind}/*"
            for region in regions
            for kind in ("inference-profile", "application-inference-profile")
        )
        models = (f"arn:{stack.partition}:bedrock:{region}::foundation-model/*" for region in regions)
        return cls(tuple(models), tuple(profiles), f"arn:{stack.partition}:bedrock:*::foundation-model/*")

    @property
    def only_by_profile(self) -> dict[str, dict[str, object]]:
        """When an inference profile of those regions passes a call on."""
        return {"ArnLike": {"bedrock:InferenceProfileArn": list(self.profiles)}}


def grant_storage(functions: Functions, table: dynamodb.ITable, buckets: Buckets) -> None:
    """Table actions and objects, as listed above."""
    for name, actions in TABLE_ACTIONS.items():
        functions[name].allow(actions, table.table_arn)
    for bucket, grants in ((buckets.data, DATA_ACTIONS), (buckets.drop, DROP_ACTIONS)):
        for name, prefixes in grants.items():
            _grant_objects(functions[name], bucket, prefixes)
            if name in FINDS:
                functions[name].allow(["s3:ListBucket"], bucket.bucket_arn)


def _grant_objects(function: Function, bucket: s3.IBucket, prefixes: Mapping[str, Sequence[str]]) -> None:
    for prefix, actions in prefixes.items():
        function.allow(actions, bucket.arn_for_objects(f"{prefix}*"))
    function.accept(
        "Object keys hold account and batch ids; the prefix is the narrowest grant.",
        [{"regex": f"/^Resource::.*\\/{prefix}\\*$/"} for prefix in prefixes],
    )


def grant_workflow(functions: Functions, state_machine_arn: str) -> None:
    """Who may start a batch's execution, and who may wake it. The resource of the latter is the state machine
    (https://github.com/aws/aws-cdk/pull/8486), although the token says which execution is meant."""
    for name in ("batches", "drop", "sweep"):
        functions[name].allow(["states:StartExecution"], state_machine_arn)
        functions[name].set_variable("STATE_MACHINE_ARN", state_machine_arn)
    for name in ("files", "batches", "dispatch", "work", "jobs", "sweep"):
        functions[name].allow(["states:SendTaskSuccess"], state_machine_arn)
    functions["sweep"].allow(["states:ListExecutions"], state_machine_arn)
    executions = state_machine_arn.replace(":stateMachine:", ":execution:") + ":*"
    functions["sweep"].allow(["states:DescribeExecution"], executions)
    functions["sweep"].accept(
        "It looks at the execution of any open batch.", [{"regex": "/^Resource::.*:execution:.*$/"}]
    )


def grant_queues(functions: Functions, queues: ProviderQueues) -> None:
    """Dispatch sends a batch's first shards, a worker each shard's follower, Sweep those whose owner or message died. A
    worker also defers its messages. What SQS gave up Sweep moves back, for which it has to be able to do it by hand."""
    for name in ("dispatch", "work", "jobs", "sweep"):
        functions[name].allow(["sqs:SendMessage"], *queues.arns)
        functions[name].set_variable("QUEUE_URLS", queues.urls_json)
    functions["work"].allow(["sqs:ChangeMessageVisibility"], *queues.arns)
    functions["sweep"].allow(["sqs:GetQueueAttributes"], *queues.arns)
    functions["sweep"].allow(list(_MOVE_DEAD_LETTERS), *queues.dead_letter_arns)
    functions["sweep"].set_variable("DEAD_LETTER_URLS", queues.dead_letter_urls_json)


def grant_provider_secrets(worker: Function, prefix: str) -> None:
    """Provider keys are found by name: an operator puts them there, the template never holds one."""
    secrets = Stack.of(worker).format_arn(
        service="secretsmanager",
        resource="secret",
        resource_name=f"{prefix}*",
        arn_format=ArnFormat.COLON_RESOURCE_NAME,
    )
    worker.allow(["secretsmanager:GetSecretValue"], secrets)
    worker.accept(
        "A secret's ARN ends in six random characters, and its name in the provider's.",
        [{"regex": "/^Resource::.*:secret:" + prefix.replace("/", "\\/") + "\\*$/"}],
    )


def grant_models(worker: Function, providers: Iterable[Provider]) -> None:
    """The worker may run models of Amazon Bedrock, in the regions of the providers that are called with its role; in
    other regions only when an inference profile of such a region passes a call on. Nothing without such a provider."""
    regions = sorted({provider.aws_region or "" for provider in providers if provider.uses_role})
    if not regions:
        return
    arns = ModelArns.of(Stack.of(worker), regions)
    worker.allow([RUN_MODEL], *arns.models, *arns.profiles)
    worker.allow([RUN_MODEL], arns.elsewhere, conditions=arns.only_by_profile)
    worker.accept(
        "Which models a deployment runs is decided by its price list and by the account's access to models.",
        [{"regex": "/^Resource::arn:.*:bedrock:.*\\/\\*$/"}],
    )


def grant_caller_key(functions: Functions, key: kms.Key) -> None:
    """The function that creates batches may encrypt, those that call providers may decrypt; both only for a named
    batch of a named account."""
    for_a_batch = {
        "Null": {"kms:EncryptionContext:batch_id": "false", "kms:EncryptionContext:account_id": "false"},
    }
    functions["batches"].allow(["kms:Encrypt"], key.key_arn, conditions=for_a_batch)
    for name in ("work", "jobs"):
        functions[name].allow(["kms:Decrypt"], key.key_arn, conditions=for_a_batch)
    for name in ("batches", "work", "jobs"):
        functions[name].set_variable("CALLER_KEY_ID", key.key_id)


def grant_webhooks(functions: Functions, key: kms.Key) -> None:
    """Secrets of webhooks: the functions that set one may encrypt, the one that signs may decrypt, each only for a
    named account and owner. Notify, a replay and Sweep start deliveries. An event that fails is not repeated by Lambda:
    Sweep comes again in a minute."""
    for_a_webhook = {"Null": {"kms:EncryptionContext:webhook": "false", "kms:EncryptionContext:account_id": "false"}}
    deliver = functions["deliver"]
    for name in ("batches", "account"):
        functions[name].allow(["kms:Encrypt"], key.key_arn, conditions=for_a_webhook)
    deliver.allow(["kms:Decrypt"], key.key_arn, conditions=for_a_webhook)
    for name in ("account", "deliver"):
        functions[name].set_variable("CALLER_KEY_ID", key.key_id)
    for name in ("account", "notify", "sweep"):
        functions[name].allow(["lambda:InvokeFunction"], deliver.arn)
        functions[name].set_variable("DELIVER_FUNCTION", deliver.function.function_name)
    _without_repeats(deliver)


def grant_assembly(functions: Functions) -> None:
    """The function that completes an upload leaves the joining of its parts to one that has enough time."""
    functions["files"].allow(["lambda:InvokeFunction"], functions["assemble"].arn)
    functions["files"].set_variable("ASSEMBLE_FUNCTION", functions["assemble"].function.function_name)


def grant_jobs(functions: Functions, at_once: int | None) -> None:
    """Dispatch starts a batch's provider jobs, Sweep those that are due, Fence those that have to stop. An event that
    fails is not repeated by Lambda: Sweep comes again in a minute. `at_once`: how many of a batch's."""
    jobs = functions["jobs"]
    for name in ("dispatch", "fence", "sweep"):
        functions[name].allow(["lambda:InvokeFunction"], jobs.arn)
        functions[name].set_variable("JOBS_FUNCTION", jobs.function.function_name)
        if at_once is not None:
            functions[name].set_variable("JOBS_AT_ONCE", str(at_once))
    _without_repeats(jobs)


def _without_repeats(function: Function) -> None:
    """Lambda does not repeat an event that fails."""
    lambda_.CfnEventInvokeConfig(
        function,
        "Retries",
        function_name=function.function.function_name,
        qualifier="$LATEST",
        maximum_retry_attempts=0,
        maximum_event_age_in_seconds=_EVENT_AGE_SECONDS,
    ).node.add_dependency(function.role)
