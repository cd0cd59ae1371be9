"""The ways back from a disaster, as docs/deploy.md has them, as far as they can be walked without AWS."""

from __future__ import annotations

from typing import Any

import boto3

from batchyard.adapters.aws.batches import Batches
from batchyard.adapters.aws.table import Table
from batchyard.core.batches import Batch, BatchRef, Status
from tests.infra.moto_stacks import create_stack, empty_account, publish_assets
from tests.infra.templates import Synthesized

NOW = 1_790_000_000
IDENTIFIED_BY = {"AWS::DynamoDB::Table": "TableName", "AWS::S3::Bucket": "BucketName", "AWS::KMS::Key": "KeyId"}
"""Types that hold data -> what CloudFormation wants to know to import one."""
BATCH = Batch("batch_1", "acct_1", "openai", "/v1/embeddings", "file-1", "24h", Status.VALIDATING, NOW, NOW + 86_400)


def test_what_was_kept_can_be_imported(synthesized: Synthesized) -> None:
    """`cdk import` sends the kept resources alone: each has a policy for its deletion, which CloudFormation asks for,
    a name that is found by its tag, and refers to none that is made anew. (moto imports nothing.)"""
    resources = synthesized.stateful.body["Resources"]
    kept = {name: each for name, each in resources.items() if each["Type"] in IDENTIFIED_BY}
    assert {each["Type"] for each in kept.values()} == IDENTIFIED_BY.keys()
    made_anew = {each["Type"] for name, each in resources.items() if name not in kept}
    assert made_anew <= {"AWS::S3::BucketPolicy", "AWS::KMS::Alias"}
    for name, each in kept.items():
        assert each["DeletionPolicy"] == each["UpdateReplacePolicy"] == "Retain", name
        assert {"Key": "batchyard:deployment", "Value": "batchyard"} in each["Properties"]["Tags"], name
        assert references(each) <= kept.keys(), name


def references(node: Any) -> set[str]:
    """The logical ids that a part of a template refers to."""
    if isinstance(node, list):
        return {found for each in node for found in references(each)}
    if not isinstance(node, dict):
        return set()
    here = {node["Ref"]} if "Ref" in node else {node["Fn::GetAtt"][0]} if "Fn::GetAtt" in node else set()
    return {each for each in here if not each.startswith("AWS::")} | references(list(node.values()))


def test_a_deployment_goes_on_with_a_restored_table(synthesized: Synthesized, restored: Synthesized) -> None:
    """A batch written before the loss is found by the functions of the new stack, in the table that their file names,
    with TTL, recovery and protection as before; the buckets are those that the first stack left."""
    with empty_account():
        dynamodb, s3 = boto3.client("dynamodb"), boto3.client("s3")
        create_stack("Batchyard-Stateful", synthesized.stateful)
        (lost,) = dynamodb.list_tables()["TableNames"]
        Batches(Table(dynamodb, lost)).create(BATCH)
        for bucket in ("kept-data", "kept-drop"):
            s3.create_bucket(Bucket=bucket)

        dynamodb.restore_table_to_point_in_time(
            SourceTableName=lost, TargetTableName="restored-table", UseLatestRestorableTime=True
        )
        dynamodb.update_time_to_live(
            TableName="restored-table", TimeToLiveSpecification={"Enabled": True, "AttributeName": "ttl"}
        )
        dynamodb.update_continuous_backups(
            TableName="restored-table", PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
        )
        dynamodb.update_table(TableName="restored-table", DeletionProtectionEnabled=True)
        boto3.client("cloudformation").delete_stack(StackName="Batchyard-Stateful")

        publish_assets(restored)
        create_stack("Batchyard-Stateful", restored.stateful)
        create_stack("Batchyard-Stateless", restored.stateless)
        found = boto3.client("lambda").get_function_configuration(FunctionName="batchyard-batches")
        variables = found["Environment"]["Variables"]
        assert variables["DATA_BUCKET"] == "kept-data"
        assert Batches(Table(dynamodb, variables["TABLE_NAME"])).get(BatchRef("acct_1", "batch_1")) == BATCH
        assert dynamodb.describe_time_to_live(TableName="restored-table")["TimeToLiveDescription"] == {
            "TimeToLiveStatus": "ENABLED",
            "AttributeName": "ttl",
        }
