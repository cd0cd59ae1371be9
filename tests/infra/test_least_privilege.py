"""What the functions' roles may do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from batchyard.surfaces.registry import ROUTES
from tests.infra.templates import Synthesized

RESOURCELESS = {
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
    "xray:GetSamplingRules",
    "xray:GetSamplingTargets",
    "logs:CreateLogDelivery",
    "logs:GetLogDelivery",
    "logs:UpdateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:DescribeResourcePolicies",
    "logs:DescribeLogGroups",
}
"""AWS takes no resource for these."""


@dataclass(frozen=True)
class Grant:
    """One action on one resource. `role`: the function's name, or the logical id of a role that is not a function's."""

    role: str
    action: str
    resource: str


def grants(synthesized: Synthesized) -> set[Grant]:
    """Every allowed action of every role, resources as JSON text."""
    owners = _owners(synthesized)
    return {
        Grant(owners.get(role, role), action, json.dumps(resource))
        for policy in synthesized.stateless.resources("AWS::IAM::Policy").values()
        for role in (each["Ref"] for each in policy["Roles"])
        for statement in policy["PolicyDocument"]["Statement"]
        for action in _many(statement["Action"])
        for resource in _many(statement["Resource"])
    }


def _owners(synthesized: Synthesized) -> dict[str, str]:
    return {
        function["Role"]["Fn::GetAtt"][0]: function["Handler"].split(".")[2]
        for function in synthesized.stateless.resources("AWS::Lambda::Function").values()
    }


def _many(value: Any) -> Iterator[Any]:
    yield from value if isinstance(value, list) else [value]


def who_may(synthesized: Synthesized, *actions: str) -> set[str]:
    return {grant.role for grant in grants(synthesized) if grant.action in actions}


def test_every_function_has_a_role_of_its_own(synthesized: Synthesized) -> None:
    """No two functions share a role, and none has one of AWS's managed policies."""
    assert len(_owners(synthesized)) == len(synthesized.stateless.resources("AWS::Lambda::Function"))
    roles = synthesized.stateless.resources("AWS::IAM::Role")
    assert all("ManagedPolicyArns" not in roles[role] for role in _owners(synthesized))
    assert all("Policies" not in role for role in roles.values())


def test_no_action_is_a_wildcard(synthesized: Synthesized) -> None:
    """Actions are spelled out, everywhere and in full."""
    assert [grant for grant in grants(synthesized) if "*" in grant.action] == []


def test_every_resource_is_named(synthesized: Synthesized) -> None:
    """Only actions for which AWS takes no resource are allowed on everything."""
    everything = [grant for grant in grants(synthesized) if grant.resource == '"*"']
    assert {grant.action for grant in everything} <= RESOURCELESS


def test_objects_are_granted_by_prefix(synthesized: Synthesized) -> None:
    """Whoever reads or writes objects does so below one of the prefixes that keys have."""
    prefixes = tuple(
        f"/{folder}/*" for folder in ("files", "incoming", "uploads", "work", "parts", "exports", "drop", "results")
    )
    objects = [each for each in grants(synthesized) if each.action.startswith("s3:") and each.action != "s3:ListBucket"]
    assert objects
    for grant in objects:
        assert json.loads(grant.resource)["Fn::Join"][1][-1] in prefixes, grant


def test_who_touches_which_objects(synthesized: Synthesized) -> None:
    """The executors read work files and write parts; who takes in files or makes them writes customers' files."""

    def writers(prefix: str) -> set[str]:
        return {
            grant.role
            for grant in grants(synthesized)
            if grant.action == "s3:PutObject" and grant.resource.endswith(f'"/{prefix}/*"]]}}')
        }

    assert writers("files") == {"files", "batches", "assemble", "drop", "finalize"}
    assert writers("incoming") == {"files"}
    assert writers("work") == {"validate"}
    assert writers("parts") == {"work", "jobs"}
    assert writers("exports") == {"results"}
    assert writers("drop") == set()
    assert writers("results") == {"drop", "notify"}


def test_every_function_of_the_api_may_count_requests(synthesized: Synthesized) -> None:
    """A deployment may set a limit per key for any surface: every function that serves one of its routes has to
    count."""
    assert {route.function for route in ROUTES} <= who_may(synthesized, "dynamodb:UpdateItem")


def test_only_executors_read_provider_keys(synthesized: Synthesized) -> None:
    """Secrets below batchyard/providers/ and nothing else, for those that call providers; a caller's key is
    decrypted only there."""
    secrets = [grant for grant in grants(synthesized) if grant.action.startswith("secretsmanager:")]
    assert {grant.role for grant in secrets} == {"work", "jobs"}
    assert all("secret:batchyard/providers/*" in grant.resource for grant in secrets)
    assert _may_with(synthesized, "kms:Decrypt", "batch_id") == {"work", "jobs"}
    assert _may_with(synthesized, "kms:Encrypt", "batch_id") == {"batches"}
    assert who_may(synthesized, "kms:GenerateDataKey") == set()


def test_only_deliver_reads_the_secrets_of_webhooks(synthesized: Synthesized) -> None:
    """Those that set one may encrypt it; nobody else but the function that signs with it may decrypt."""
    assert _may_with(synthesized, "kms:Decrypt", "webhook") == {"deliver"}
    assert _may_with(synthesized, "kms:Encrypt", "webhook") == {"batches", "account"}
    assert who_may(synthesized, "kms:Decrypt") == {"work", "jobs", "deliver"}
    assert who_may(synthesized, "kms:Encrypt") == {"batches", "account"}


def test_secrets_are_bound_to_their_owner(synthesized: Synthesized) -> None:
    """KMS refuses a call whose encryption context does not name an account, and a batch or the owner of a webhook."""
    found = _kms_statements(synthesized)
    assert len(found) == 6
    for _, statement in found:
        assert statement["Condition"] in (_bound_to("batch_id"), _bound_to("webhook"))


def _kms_statements(synthesized: Synthesized) -> list[tuple[str, Any]]:
    """(function's name, statement)"""
    owners = _owners(synthesized)
    return [
        (owners[role["Ref"]], statement)
        for policy in synthesized.stateless.resources("AWS::IAM::Policy").values()
        for role in policy["Roles"]
        for statement in policy["PolicyDocument"]["Statement"]
        if any(action.startswith("kms:") for action in _many(statement["Action"]))
    ]


def _bound_to(owner: str) -> dict[str, Any]:
    return {"Null": {f"kms:EncryptionContext:{owner}": "false", "kms:EncryptionContext:account_id": "false"}}


def _may_with(synthesized: Synthesized, action: str, owner: str) -> set[str]:
    """Who may do it with an encryption context that names an `owner`."""
    return {
        name
        for name, statement in _kms_statements(synthesized)
        if action in _many(statement["Action"]) and statement["Condition"] == _bound_to(owner)
    }


def test_who_starts_and_who_wakes(synthesized: Synthesized) -> None:
    """Only batches, drop and sweep start an execution; whoever may end its wait has a reason to."""
    assert who_may(synthesized, "states:StartExecution") == {"batches", "drop", "sweep"}
    assert who_may(synthesized, "states:SendTaskSuccess") == {"files", "batches", "dispatch", "work", "jobs", "sweep"}
    assert who_may(synthesized, "states:ListExecutions", "states:DescribeExecution") == {"sweep"}
    assert who_may(synthesized, "states:StopExecution", "states:SendTaskFailure") == set()


def test_who_sends_and_who_invokes(synthesized: Synthesized) -> None:
    """Shards are sent by dispatch, the executors and sweep only, and assemble may say that it gave up; functions are
    invoked by the state machine, to assemble files, to look after provider jobs, and to deliver to webhooks."""
    assert who_may(synthesized, "sqs:SendMessage") == {"dispatch", "work", "jobs", "sweep", "assemble"}
    letters = [each for each in grants(synthesized) if (each.role, each.action) == ("assemble", "sqs:SendMessage")]
    assert ["AssembleDeadLetters" in each.resource for each in letters] == [True]
    invokers = who_may(synthesized, "lambda:InvokeFunction")
    assert "files" in invokers
    assert invokers >= {"files", "dispatch", "fence", "sweep", "notify", "account"}
    assert len(invokers) == 7


def test_sweep_moves_the_dead_letters_of_providers(synthesized: Synthesized) -> None:
    """And no others, back to where they came from: what a move task takes of the queue that it empties. Of where they
    go it only sees how many messages wait there."""
    assert who_may(synthesized, "sqs:StartMessageMoveTask") == {"sweep"}
    queues = synthesized.stateless.resources("AWS::SQS::Queue")
    emptied: dict[str, set[str]] = {}
    for grant in grants(synthesized):
        if grant.role == "sweep" and grant.action.startswith("sqs:") and grant.action != "sqs:SendMessage":
            queue = queues[json.loads(grant.resource)["Fn::GetAtt"][0]]["QueueName"]
            emptied.setdefault(queue, set()).add(grant.action.removeprefix("sqs:"))
    seen = {name: emptied.pop(name) for name in list(emptied) if not name.endswith("-dead-letters")}
    assert list(seen.values()) == [{"GetQueueAttributes"}] * 5
    assert len(emptied) == 5
    assert all(name.startswith("batchyard-provider-") for name in [*seen, *emptied])
    needed = {"StartMessageMoveTask", "ReceiveMessage", "DeleteMessage", "GetQueueAttributes"}
    assert all(actions == needed for actions in emptied.values())


def test_no_function_may_administer(synthesized: Synthesized) -> None:
    """Nothing that changes infrastructure, scans or drops the table, or deletes a queue or a secret."""
    for grant in grants(synthesized):
        verb = grant.action.partition(":")[2]
        assert not verb.startswith(("Create", "Tag", "Purge", "Scan")) or grant.action in {
            "logs:CreateLogStream",
            "logs:CreateLogDelivery",
        }, grant
        assert not verb.startswith("Delete") or grant.action in {
            "dynamodb:DeleteItem",
            "s3:DeleteObject",
            "sqs:DeleteMessage",
            "logs:DeleteLogDelivery",
        }, grant


def test_who_can_be_invoked_from_outside(synthesized: Synthesized) -> None:
    """API Gateway may call the functions of the API, EventBridge the sweep; nobody may call admin but IAM users
    whom the operator allows to."""
    owners = {
        name: function["Handler"].split(".")[2]
        for name, function in synthesized.stateless.resources("AWS::Lambda::Function").items()
    }
    callers = {
        (owners[each["FunctionName"]["Fn::GetAtt"][0]], each["Principal"])
        for each in synthesized.stateless.resources("AWS::Lambda::Permission").values()
    }
    assert callers == {(route.function, "apigateway.amazonaws.com") for route in ROUTES} | {
        ("sweep", "events.amazonaws.com")
    }
    assert all("SourceArn" in each for each in synthesized.stateless.resources("AWS::Lambda::Permission").values())
