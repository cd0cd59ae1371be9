"""The table of tests and benchmarks is the table that is deployed."""

from __future__ import annotations

import boto3
from moto import mock_aws

from local.table import create_table
from tests.infra.templates import Synthesized


def test_the_table_of_tests_has_the_declared_shape(synthesized: Synthesized) -> None:
    """Keys, their types and the billing mode are those of the template."""
    (declared,) = synthesized.stateful.resources("AWS::DynamoDB::Table").values()
    credentials = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    with mock_aws():
        client = boto3.client("dynamodb", region_name="us-east-1", **credentials)
        create_table(client, "shape")
        made = client.describe_table(TableName="shape")["Table"]
    assert made["KeySchema"] == declared["KeySchema"]
    assert made["AttributeDefinitions"] == declared["AttributeDefinitions"]
    assert made["BillingModeSummary"]["BillingMode"] == declared["BillingMode"]
    assert "GlobalSecondaryIndexes" not in declared and "LocalSecondaryIndexes" not in declared
