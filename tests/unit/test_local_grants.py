"""The local cloud's reading of IAM conditions about KMS: a grant for named batches is none for an unnamed one."""

from __future__ import annotations

from local.iam.permissions import Principal, denied, encryption_context, read_statements
from local.simulated_aws.calls import Call

KEY = "arn:aws:kms:us-east-1:123456789012:key/1"
POLICY = {
    "Statement": {
        "Effect": "Allow",
        "Action": "kms:Decrypt",
        "Resource": KEY,
        "Condition": {"Null": {"kms:EncryptionContext:batch_id": "false", "kms:EncryptionContext:account_id": "false"}},
    }
}
WORKER = Principal("work", "arn:aws:sts::123456789012:assumed-role/work/work", tuple(read_statements(POLICY)))


def test_a_key_opens_only_for_a_named_batch() -> None:
    """Both names have to be given; KMS compares their values."""

    def refused(**context: str) -> bool:
        call = Call("kms", "Decrypt", "", "us-east-1", parameters={"EncryptionContext": context} if context else {})
        return denied(WORKER, [("kms:Decrypt", KEY)], encryption_context(call)) is not None

    assert refused()
    assert refused(batch_id="b")
    assert refused(account_id="a")
    assert not refused(batch_id="b", account_id="a")


def test_other_services_have_no_encryption_context() -> None:
    """A parameter of that name elsewhere is not taken for one."""
    call = Call("dynamodb", "GetItem", "", "us-east-1", parameters={"EncryptionContext": {"batch_id": "b"}})
    assert encryption_context(call) == {}
