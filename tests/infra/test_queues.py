"""Queues, their event sources, and what comes in by events and by the clock."""

from __future__ import annotations

import json
import tomllib
from typing import Any

from batchyard.adapters.catalogue import read_providers
from batchyard.worker.work import RECEIVES_AT_MOST
from tests.infra.conftest import ROOT
from tests.infra.templates import Synthesized

PROVIDERS = {
    each["name"]: each["max_concurrency"]
    for each in tomllib.loads((ROOT / "functions/batchyard/providers.toml").read_text())["providers"]
}


def _queues(synthesized: Synthesized) -> dict[str, dict[str, Any]]:
    """Queue name -> properties, without the dead-letter queues."""
    queues = synthesized.stateless.resources("AWS::SQS::Queue").values()
    return {each["QueueName"]: each for each in queues if "RedrivePolicy" in each}


def test_every_provider_has_its_queue(synthesized: Synthesized) -> None:
    """A queue per provider of providers.toml, one for the drop folder, each with a dead-letter queue of its own; and
    one for uploads that could not be joined, which no queue feeds."""
    queues = _queues(synthesized)
    assert queues.keys() == {f"batchyard-provider-{name}" for name in PROVIDERS} | {"batchyard-drop"}
    dead_letters = {each["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0] for each in queues.values()}
    assert len(dead_letters) == len(queues)
    assert len(synthesized.stateless.resources("AWS::SQS::Queue")) == 2 * len(queues) + 1
    assert {queues[f"batchyard-provider-{name}"]["RedrivePolicy"]["maxReceiveCount"] for name in PROVIDERS} == {
        RECEIVES_AT_MOST
    }


def test_every_queue_is_encrypted_and_tls_only(synthesized: Synthesized) -> None:
    """Dead-letter queues included."""
    guarded = set()
    for policy in synthesized.stateless.resources("AWS::SQS::QueuePolicy").values():
        denials = [each for each in policy["PolicyDocument"]["Statement"] if each["Effect"] == "Deny"]
        assert {"Bool": {"aws:SecureTransport": "false"}} in [each["Condition"] for each in denials]
        guarded |= {queue["Ref"] for queue in policy["Queues"]}
    queues = synthesized.stateless.resources("AWS::SQS::Queue")
    assert guarded == queues.keys()
    assert all(queue["SqsManagedSseEnabled"] is True for queue in queues.values())


def test_a_message_stays_hidden_for_as_long_as_its_function_may_run(synthesized: Synthesized) -> None:
    """Lambda refuses an event source whose visibility timeout is shorter than the function's timeout."""
    queues = synthesized.stateless.resources("AWS::SQS::Queue")
    functions = synthesized.stateless.resources("AWS::Lambda::Function")
    for mapping in synthesized.stateless.resources("AWS::Lambda::EventSourceMapping").values():
        queue = queues[mapping["EventSourceArn"]["Fn::GetAtt"][0]]
        assert queue["VisibilityTimeout"] > functions[mapping["FunctionName"]["Ref"]]["Timeout"]


def test_the_worker_polls_every_provider_at_its_own_ceiling(synthesized: Synthesized) -> None:
    """One mapping per provider with the maximum concurrency of providers.toml, and partial batch responses."""
    queues = synthesized.stateless.resources("AWS::SQS::Queue")
    found = {}
    for mapping in synthesized.stateless.resources("AWS::Lambda::EventSourceMapping").values():
        assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        name = queues[mapping["EventSourceArn"]["Fn::GetAtt"][0]]["QueueName"].removeprefix("batchyard-provider-")
        if name in PROVIDERS:
            assert mapping["BatchSize"] == 10
            assert mapping["MaximumBatchingWindowInSeconds"] <= 1
            found[name] = mapping["ScalingConfig"]["MaximumConcurrency"]
    assert found == PROVIDERS


def test_a_dropped_object_becomes_a_message(synthesized: Synthesized) -> None:
    """Objects created below drop/ of the drop bucket go to the drop queue, which only that rule may send to."""
    (rule,) = [each for each in synthesized.stateless.resources("AWS::Events::Rule").values() if "EventPattern" in each]
    assert rule["EventPattern"]["source"] == ["aws.s3"]
    assert rule["EventPattern"]["detail-type"] == ["Object Created"]
    assert rule["EventPattern"]["detail"]["object"] == {"key": [{"prefix": "drop/"}]}
    assert "Fn::ImportValue" in json.dumps(rule["EventPattern"]["detail"]["bucket"])
    (target,) = rule["Targets"]
    queues = synthesized.stateless.resources("AWS::SQS::Queue")
    assert queues[target["Arn"]["Fn::GetAtt"][0]]["QueueName"] == "batchyard-drop"
    assert queues[target["DeadLetterConfig"]["Arn"]["Fn::GetAtt"][0]]["QueueName"] == "batchyard-drop-dead-letters"
    allowed = [
        statement
        for policy in synthesized.stateless.resources("AWS::SQS::QueuePolicy").values()
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow"
    ]
    assert {each["Principal"]["Service"] for each in allowed} == {"events.amazonaws.com"}
    assert all("aws:SourceArn" in json.dumps(each["Condition"]) for each in allowed)


def test_the_sweep_runs_every_minute(synthesized: Synthesized) -> None:
    """A schedule invokes the sweep, and does not repeat one that failed."""
    (rule,) = [
        each for each in synthesized.stateless.resources("AWS::Events::Rule").values() if "ScheduleExpression" in each
    ]
    assert rule["ScheduleExpression"] == "rate(1 minute)"
    (target,) = rule["Targets"]
    functions = synthesized.stateless.resources("AWS::Lambda::Function")
    assert functions[target["Arn"]["Fn::GetAtt"][0]]["FunctionName"] == "batchyard-sweep"
    assert target["RetryPolicy"]["MaximumRetryAttempts"] == 0


def test_only_the_worker_may_feed_itself(synthesized: Synthesized) -> None:
    """A worker sends the shards that follow to its own queue, which Lambda would stop after 16 rounds; all other
    functions keep that protection."""
    loops = {
        each["Handler"].split(".")[2]: each["RecursiveLoop"]
        for each in synthesized.stateless.resources("AWS::Lambda::Function").values()
    }
    assert {name for name, loop in loops.items() if loop == "Allow"} == {"work"}
    assert set(loops.values()) == {"Allow", "Terminate"}


def test_an_entry_needs_no_maximum_concurrency() -> None:
    """The queues are made for the very providers that the functions read, defaults included."""
    text = '[[providers]]\nname = "edge"\nkind = "openai"\nbase_url = "https://llm.example.com/v1"\n'
    (edge,) = read_providers(tomllib.loads(text))
    assert edge.max_concurrency == 10
