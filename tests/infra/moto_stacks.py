"""Templates deployed into moto's CloudFormation."""

from __future__ import annotations

import copy
import io
import json
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager

import boto3
import pytest
from moto import mock_aws

from tests.infra.templates import Synthesized, Template

REGION = "us-east-1"
_ASSETS = "cdk-hnb659fds-assets-123456789012-us-east-1"


@contextmanager
def empty_account() -> Iterator[None]:
    """An account of moto's, as long as the block lasts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        patch.setenv("AWS_DEFAULT_REGION", REGION)
        with warnings.catch_warnings(), mock_aws(config={"lambda": {"use_docker": False}}):
            warnings.filterwarnings("ignore", message="Tried to parse .* not supported by moto")
            yield


def publish_assets(synthesized: Synthesized) -> None:
    """Stores something in the place of the functions' code, which CDK would publish."""
    empty = io.BytesIO()
    with zipfile.ZipFile(empty, "w") as archive:
        archive.writestr("empty.py", "")
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=_ASSETS)
    for function in synthesized.stateless.resources("AWS::Lambda::Function").values():
        s3.put_object(Bucket=_ASSETS, Key=function["Code"]["S3Key"], Body=empty.getvalue())


def create_stack(name: str, template: Template) -> set[str]:
    """The logical ids that exist in the stack once it stands."""
    client = boto3.client("cloudformation")
    client.create_stack(StackName=name, TemplateBody=_for_moto(template), Capabilities=["CAPABILITY_NAMED_IAM"])
    (described,) = client.describe_stacks(StackName=name)["Stacks"]
    assert described["StackStatus"] == "CREATE_COMPLETE"
    resources = client.get_paginator("list_stack_resources").paginate(StackName=name)
    return {each["LogicalResourceId"] for page in resources for each in page["StackResourceSummaries"]}


def _for_moto(template: Template) -> str:
    """Without a key's tags: moto takes the template's Key and Value for the API's TagKey and TagValue."""
    body = copy.deepcopy(template.body)
    for resource in body["Resources"].values():
        if resource["Type"] == "AWS::KMS::Key":
            del resource["Properties"]["Tags"]
    return json.dumps(body)
