"""The way back from a lost table, as docs/deploy.md has it, walked in moto: restore, switch on, deploy on it."""

from __future__ import annotations

import boto3

from batchyard.adapters.aws.batches import Batches
from batchyard.adapters.aws.table import Table
from batchyard.core.batches import Batch, BatchRef, Status
from tests.infra.moto_stacks import create_stack, empty_account, publish_assets
from tests.infra.templates import Synthesized

NOW = 1_790_000_000
BATCH = Batch("batch_1", "acct_1", "openai", "/v1/embeddings", "file-1", "24h", Status.VALIDATING, NOW, NOW + 86_400)


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
