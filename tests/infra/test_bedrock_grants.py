"""What may be done at Amazon Bedrock, by the worker's role and for provider jobs: nothing, unless a provider is called
with our role, and runs in native mode."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from batchyard.core.lanes import Mode
from batchyard.core.providers import Provider

OPENAI = Provider("openai", "openai", "https://api.openai.com/v1")
EU = Provider("bedrock", "bedrock", "https://bedrock-runtime.eu-central-1.amazonaws.com")
US = Provider("edge", "bedrock", "https://models.example.internal", regions=("us-east-1",))


@pytest.fixture
def stacks() -> ModuleType:
    return importlib.import_module("tests.infra.bedrock_stacks")


def text_of(arn: dict[str, Any]) -> str:
    return "".join(part if isinstance(part, str) else f"<{part['Ref']}>" for part in arn["Fn::Join"][1])


def test_no_provider_by_role_no_grant(stacks: ModuleType, tmp_path: Path) -> None:
    """A deployment that does not use Bedrock cannot."""
    assert stacks.statements(stacks.stack_with(tmp_path, OPENAI)) == []


def test_models_of_the_providers_regions(stacks: ModuleType, tmp_path: Path) -> None:
    """By their regions; elsewhere only through an inference profile of one of those. The reason for the wildcards is
    written down, so that cdk-nag finds nothing."""
    stack = stacks.stack_with(tmp_path, OPENAI, EU, US)
    direct, passed_on = stacks.statements(stack)
    assert direct["Action"] == passed_on["Action"] == "bedrock:InvokeModel"
    profiles = [
        f"arn:<AWS::Partition>:bedrock:{region}:<AWS::AccountId>:{kind}/*"
        for region in ("eu-central-1", "us-east-1")
        for kind in ("inference-profile", "application-inference-profile")
    ]
    models = [f"arn:<AWS::Partition>:bedrock:{each}::foundation-model/*" for each in ("eu-central-1", "us-east-1")]
    assert [text_of(each) for each in direct["Resource"]] == models + profiles
    assert text_of(passed_on["Resource"]) == "arn:<AWS::Partition>:bedrock:*::foundation-model/*"
    condition = passed_on["Condition"]["ArnLike"]["bedrock:InferenceProfileArn"]
    assert [text_of(each) for each in condition] == profiles
    assert stacks.findings(stack, "AwsSolutions-IAM5.*bedrock.*") == []


NATIVE_EU = EU.in_modes((Mode.REALTIME, Mode.NATIVE))
JOBS_OF_EU = "arn:<AWS::Partition>:bedrock:eu-central-1:<AWS::AccountId>:model-invocation-job/*"


def test_no_native_mode_no_role(stacks: ModuleType, tmp_path: Path) -> None:
    """Neither for providers without it, nor if the deployment's file takes it from an entry."""
    for number, stack in enumerate(
        (
            stacks.stack_with_jobs(tmp_path / "0", OPENAI.in_modes((Mode.NATIVE,)), EU),
            stacks.stack_with_jobs(tmp_path / "1", NATIVE_EU, bedrock=["realtime"]),
        )
    ):
        template = stacks.template_of(stack)
        assert len(template.find_resources("AWS::IAM::Role")) == 1, number
        assert "bedrock" not in json.dumps(template.to_json()), number


def test_what_jobs_may_do(stacks: ModuleType, tmp_path: Path) -> None:
    """The executor makes jobs and looks after them, and passes one role on, to Bedrock alone. That role, which only
    jobs of this account in this region take on, reads and writes the files of jobs, and runs models. Jobs that are over
    are told to the executor. cdk-nag finds nothing."""
    stack = stacks.stack_with_jobs(tmp_path, EU, bedrock=["realtime", "native"])
    template = stacks.template_of(stack)
    roles = template.find_resources("AWS::IAM::Role")
    ((name, role),) = ((name, each) for name, each in roles.items() if "ModelJobs" in name)
    (trust,) = role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "bedrock.amazonaws.com"}
    assert trust["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    assert text_of(trust["Condition"]["ArnLike"]["aws:SourceArn"][0]) == JOBS_OF_EU
    policies = template.find_resources("AWS::IAM::Policy")
    by_role = {
        each["Properties"]["Roles"][0]["Ref"]: each["Properties"]["PolicyDocument"] for each in policies.values()
    }
    of_bedrock = by_role.pop(name)["Statement"]
    assert [each["Action"] for each in of_bedrock] == [
        ["s3:GetObject", "s3:PutObject"],
        "s3:ListBucket",
        "bedrock:InvokeModel",
        "bedrock:InvokeModel",
    ]
    assert text_of(of_bedrock[0]["Resource"]).endswith(":s3:::data/jobs/*")
    assert of_bedrock[1]["Condition"] == {"StringLike": {"s3:prefix": "jobs/*"}}
    assert list(of_bedrock[3]["Condition"]["ArnLike"]) == ["bedrock:InferenceProfileArn"]
    (executor,) = by_role.values()
    (passing,) = (each for each in executor["Statement"] if each["Action"] == "iam:PassRole")
    assert passing["Resource"] == {"Fn::GetAtt": [name, "Arn"]}
    assert passing["Condition"] == {"StringEquals": {"iam:PassedToService": "bedrock.amazonaws.com"}}
    asked = [each for each in executor["Statement"] if "ModelInvocationJob" in str(each["Action"])]
    assert [each["Action"] for each in asked] == [
        "bedrock:CreateModelInvocationJob",
        ["bedrock:GetModelInvocationJob", "bedrock:StopModelInvocationJob"],
        "bedrock:ListModelInvocationJobs",
    ]
    assert text_of(asked[1]["Resource"]) == JOBS_OF_EU
    (rule,) = template.find_resources("AWS::Events::Rule").values()
    assert rule["Properties"]["EventPattern"] == {
        "source": ["aws.bedrock"],
        "detail-type": ["Batch Inference Job State Change"],
        "detail": {
            "batchJobName": [{"prefix": "batchyard-"}],
            "status": ["Completed", "Expired", "Failed", "PartiallyCompleted", "Stopped"],
        },
    }
    variables = next(iter(template.find_resources("AWS::Lambda::Function").values()))["Properties"]["Environment"]
    assert variables["Variables"]["BEDROCK_ROLE_ARN"] == {"Fn::GetAtt": [name, "Arn"]}
    assert stacks.findings(stack, "AwsSolutions-IAM5.*") == []
