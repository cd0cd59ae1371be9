"""Table, buckets and keys: what must outlive every deployment."""

from __future__ import annotations

import json
from typing import Any

from tests.infra.templates import Synthesized


def test_the_table(synthesized: Synthesized) -> None:
    """One table, on demand, with point-in-time recovery and TTL, that deleting the stack does not delete."""
    (table,) = synthesized.stateful.resources("AWS::DynamoDB::Table").values()
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["KeySchema"] == [
        {"AttributeName": "pk", "KeyType": "HASH"},
        {"AttributeName": "sk", "KeyType": "RANGE"},
    ]
    assert table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True
    assert table["TimeToLiveSpecification"] == {"AttributeName": "ttl", "Enabled": True}
    assert table["DeletionProtectionEnabled"] is True
    assert table["SSESpecification"] == {"SSEEnabled": True}


def test_what_holds_data_is_kept(synthesized: Synthesized, staging: Synthesized) -> None:
    """Deleting the stack keeps table, buckets and key; a deployment may choose otherwise."""
    kinds = {"AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::KMS::Key"}
    for template, policy in ((synthesized.stateful, "Retain"), (staging.stateful, "Delete")):
        kept = [each for each in template.body["Resources"].values() if each["Type"] in kinds]
        assert len(kept) == 5
        assert {each["DeletionPolicy"] for each in kept} == {policy}


def test_every_bucket_is_closed(synthesized: Synthesized) -> None:
    """Encrypted, no public access, TLS only, no ACLs, and access logged (except the log itself)."""
    buckets = synthesized.stateful.resources("AWS::S3::Bucket")
    policies = synthesized.stateful.resources("AWS::S3::BucketPolicy").values()
    assert len(buckets) == 3
    for name, bucket in buckets.items():
        assert bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
        assert bucket["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
        assert "BucketName" not in bucket
        (policy,) = [each for each in policies if each["Bucket"] == {"Ref": name}]
        denials = [each for each in policy["PolicyDocument"]["Statement"] if each["Effect"] == "Deny"]
        assert {"Bool": {"aws:SecureTransport": "false"}} in [each["Condition"] for each in denials]
    assert sum("LoggingConfiguration" in bucket for bucket in buckets.values()) == 2


def test_what_is_temporary_expires(synthesized: Synthesized) -> None:
    """Work files, parts and parts of uploads are deleted after some days; customers' files are not."""
    data = _bucket(synthesized, lambda bucket: "work/" in _prefixes(bucket))
    days = {rule["Prefix"]: rule.get("ExpirationInDays") for rule in _rules(data) if "Prefix" in rule}
    assert days == {
        "work/": 14,
        "parts/": 14,
        "incoming/": 14,
        "jobs/": 14,
        "uploads/": 2,
        "exports/": 1,
        "files/": None,
    }
    for bucket in synthesized.stateful.resources("AWS::S3::Bucket").values():
        assert any("AbortIncompleteMultipartUpload" in rule for rule in _rules(bucket))


def test_dropped_files_expire_if_the_operator_says_so(synthesized: Synthesized, staging: Synthesized) -> None:
    """drop_days is a lifecycle of drop/ and results/; without it they are kept until somebody deletes them."""

    def days(template: Synthesized) -> dict[str, int]:
        drop = _bucket(template, lambda bucket: "VersioningConfiguration" in bucket)
        return {rule["Prefix"]: rule["ExpirationInDays"] for rule in _rules(drop) if "ExpirationInDays" in rule}

    assert days(synthesized) == {}
    assert days(staging) == {"drop/": 90, "results/": 90}


def test_what_an_earlier_stack_left_is_found_again(restored: Synthesized) -> None:
    """A deployment whose file names a table and buckets makes none, and its functions use and may use those."""
    assert not restored.stateful.resources("AWS::DynamoDB::Table")
    assert len(restored.stateful.resources("AWS::S3::Bucket")) == 1, "the access log"
    for function in restored.stateless.resources("AWS::Lambda::Function").values():
        variables = function["Environment"]["Variables"]
        assert (variables["TABLE_NAME"], variables["DATA_BUCKET"]) == ("restored-table", "kept-data")
    policies = json.dumps(restored.stateless.resources("AWS::IAM::Policy"))
    assert ":table/restored-table" in policies
    assert ":s3:::kept-data/files/*" in policies
    (rule,) = [each for each in restored.stateless.resources("AWS::Events::Rule").values() if "EventPattern" in each]
    assert rule["EventPattern"]["detail"]["bucket"] == {"name": ["kept-drop"]}
    assert {output for output in restored.stateful.body["Outputs"] if not output.startswith("Exports")} == {
        "DropBucket"
    }


def test_the_drop_bucket_reports_to_event_bridge(synthesized: Synthesized) -> None:
    """It is versioned, forgets old versions, and sends its events without a custom resource's help."""
    drop = _bucket(synthesized, lambda bucket: "VersioningConfiguration" in bucket)
    assert drop["VersioningConfiguration"] == {"Status": "Enabled"}
    assert drop["NotificationConfiguration"] == {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}
    assert any("NoncurrentVersionExpiration" in rule for rule in _rules(drop))


def test_keys_rotate(synthesized: Synthesized) -> None:
    """The one KMS key of the deployment rotates."""
    assert not synthesized.stateless.resources("AWS::KMS::Key")
    (key,) = synthesized.stateful.resources("AWS::KMS::Key").values()
    assert key["EnableKeyRotation"] is True


def test_nothing_hidden_is_deployed(synthesized: Synthesized) -> None:
    """No custom resources, no functions of CDK's own, no secrets, and no template near CloudFormation's limits."""
    for template in (synthesized.stateful, synthesized.stateless):
        kinds = {each["Type"] for each in template.body["Resources"].values()}
        assert not [kind for kind in kinds if kind.startswith(("Custom::", "AWS::CloudFormation::CustomResource"))]
        assert "AWS::SecretsManager::Secret" not in kinds
        assert len(template.body["Resources"]) < 400
        assert "Parameters" not in template.body


def _rules(bucket: dict[str, Any]) -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = bucket["LifecycleConfiguration"]["Rules"]
    assert all(rule["Status"] == "Enabled" for rule in rules)
    return rules


def _prefixes(bucket: dict[str, Any]) -> set[str]:
    return {rule["Prefix"] for rule in _rules(bucket) if "Prefix" in rule}


def _bucket(synthesized: Synthesized, is_it: Any) -> dict[str, Any]:
    (found,) = [each for each in synthesized.stateful.resources("AWS::S3::Bucket").values() if is_it(each)]
    return found
