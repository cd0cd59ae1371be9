"""Stacks of one function that may use Amazon Bedrock. CDK starts Node when it is imported, and every worker imports
every test: so tests ask for this module as a fixture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from aws_cdk import App, Aspects, Stack
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk.assertions import Annotations, Match, Template
from cdk_nag import AwsSolutionsChecks

from batchyard.core.providers import Provider
from infra.deployment import parse
from infra.function import Function, Spec
from infra.model_jobs import grant_model_jobs, native_regions
from infra.permissions import grant_models

template_of = Template.from_stack


def stack_with(folder: Path, *providers: Provider) -> Stack:
    """A stack of a worker alone, whose deployment has `providers`."""
    stack, worker = stack_of(folder, "work")
    grant_models(worker, providers)
    return stack


def stack_of(folder: Path, name: str) -> tuple[Stack, Function]:
    """A stack of one function."""
    app = App(outdir=str(folder))
    Aspects.of(app).add(AwsSolutionsChecks())
    stack = Stack(app, "Stack")
    function = Function(
        stack,
        name,
        deployment=parse('name = "test"\nlambda_concurrency_quota = 1000', "test.toml"),
        spec=Spec("Works", 128, 30, None, traced=False),
        reserved=None,
        code=lambda_.Code.from_inline("handler = None"),
        variables={},
    )
    return stack, function


def stack_with_jobs(folder: Path, *providers: Provider, **modes: list[str]) -> Stack:
    """A stack of the native executor and a bucket, whose deployment has `providers` in those modes."""
    stack, jobs = stack_of(folder, "jobs")
    bucket = s3.Bucket.from_bucket_name(stack, "Data", "data")
    grant_model_jobs(jobs, bucket, native_regions(providers, modes))
    return stack


def statements(stack: Stack) -> list[dict[str, Any]]:
    """Those about Bedrock, with ARNs as text."""
    (policy,) = Template.from_stack(stack).find_resources("AWS::IAM::Policy").values()
    found = policy["Properties"]["PolicyDocument"]["Statement"]
    return [each for each in found if "bedrock" in json.dumps(each)]


def findings(stack: Stack, pattern: str) -> list[Any]:
    """What cdk-nag finds."""
    found = Annotations.from_stack(stack).find_error("*", Match.string_like_regexp(pattern))
    return [each.entry.data for each in found]
