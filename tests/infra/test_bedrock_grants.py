"""What the worker's role may do at Amazon Bedrock: nothing, unless a provider is called with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from aws_cdk import App, Aspects, Stack
from aws_cdk import aws_lambda as lambda_
from aws_cdk.assertions import Annotations, Match, Template
from cdk_nag import AwsSolutionsChecks

from batchyard.core.providers import Provider
from infra.deployment import parse
from infra.function import Function, Spec
from infra.permissions import grant_models

OPENAI = Provider("openai", "openai", "https://api.openai.com/v1")
EU = Provider("bedrock", "bedrock", "https://bedrock-runtime.eu-central-1.amazonaws.com")
US = Provider("edge", "bedrock", "https://models.example.internal", regions=("us-east-1",))


def stack_with(folder: Path, *providers: Provider) -> Stack:
    """A stack of a worker alone, whose deployment has `providers`."""
    app = App(outdir=str(folder))
    Aspects.of(app).add(AwsSolutionsChecks())
    stack = Stack(app, "Stack")
    worker = Function(
        stack,
        "work",
        deployment=parse('name = "test"\nlambda_concurrency_quota = 1000', "test.toml"),
        spec=Spec("Works", 128, 30, None, traced=False),
        reserved=None,
        code=lambda_.Code.from_inline("handler = None"),
        variables={},
    )
    grant_models(worker, providers)
    return stack


def statements(stack: Stack) -> list[dict[str, Any]]:
    """Those about Bedrock, with ARNs as text."""
    (policy,) = Template.from_stack(stack).find_resources("AWS::IAM::Policy").values()
    found = policy["Properties"]["PolicyDocument"]["Statement"]
    return [each for each in found if "bedrock" in json.dumps(each)]


def text_of(arn: dict[str, Any]) -> str:
    return "".join(part if isinstance(part, str) else f"<{part['Ref']}>" for part in arn["Fn::Join"][1])


def test_no_provider_by_role_no_grant(tmp_path: Path) -> None:
    """A deployment that does not use Bedrock cannot."""
    assert statements(stack_with(tmp_path, OPENAI)) == []


def test_models_of_the_providers_regions(tmp_path: Path) -> None:
    """By their regions; elsewhere only through an inference profile of one of those. The reason for the wildcards is
    written down, so that cdk-nag finds nothing."""
    stack = stack_with(tmp_path, OPENAI, EU, US)
    direct, passed_on = statements(stack)
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
    found = Annotations.from_stack(stack).find_error("*", Match.string_like_regexp("AwsSolutions-IAM5.*bedrock.*"))
    assert [each.entry.data for each in found] == []
