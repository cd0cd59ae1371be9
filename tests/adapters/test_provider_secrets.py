"""Provider keys come from Secrets Manager, and a rotated one is noticed."""

from __future__ import annotations

import boto3
import pytest

from batchyard.adapters.aws.secrets import SecretMissing, Secrets
from tests.aws import REGION


def test_a_rotated_key_is_in_use_after_five_minutes() -> None:
    """One read per five minutes and provider; then the new value counts. Blanks around a pasted key do not."""
    client = boto3.client("secretsmanager", region_name=REGION)
    client.create_secret(Name="batchyard/providers/openai", SecretString=" sk-old\n")
    client.create_secret(Name="batchyard/providers/groq", SecretString="sk-groq")
    now = 1000.0
    secrets = Secrets(client, "batchyard/providers/", lambda: now)
    assert (secrets.provider_key("openai"), secrets.provider_key("groq")) == ("sk-old", "sk-groq")
    client.put_secret_value(SecretId="batchyard/providers/openai", SecretString="sk-new")
    now += 299
    assert secrets.provider_key("openai") == "sk-old"
    now += 1
    assert secrets.provider_key("openai") == "sk-new"


def test_a_missing_key_is_not_remembered() -> None:
    """The error names the secret, and the next call finds it as soon as it exists."""
    client = boto3.client("secretsmanager", region_name=REGION)
    secrets = Secrets(client, "batchyard/providers/", lambda: 0.0)
    with pytest.raises(SecretMissing, match="batchyard/providers/openai"):
        secrets.provider_key("openai")
    client.create_secret(Name="batchyard/providers/openai", SecretString="sk-late")
    assert secrets.provider_key("openai") == "sk-late"


def test_a_forgotten_key_is_read_again() -> None:
    """A key that was refused is dropped before its five minutes are over; those of other providers stay."""
    client = boto3.client("secretsmanager", region_name=REGION)
    for provider in ("openai", "groq"):
        client.create_secret(Name=f"batchyard/providers/{provider}", SecretString="sk-old")
    secrets = Secrets(client, "batchyard/providers/", lambda: 0.0)
    for provider in ("openai", "groq"):
        secrets.provider_key(provider)
        client.put_secret_value(SecretId=f"batchyard/providers/{provider}", SecretString="sk-new")
    secrets.forget("openai")
    secrets.forget("never-read")
    assert (secrets.provider_key("openai"), secrets.provider_key("groq")) == ("sk-new", "sk-old")


@pytest.mark.parametrize("value", [" ", "sk-1\nsk-2", "\u201csk-1\u201d", "sk-1\u200b", b"sk-1"])
def test_what_no_header_can_carry_is_no_key(value: str | bytes) -> None:
    """A person has pasted it. A call with it would break the worker instead of being refused."""
    client = boto3.client("secretsmanager", region_name=REGION)
    name = "batchyard/providers/openai"
    if isinstance(value, bytes):
        client.create_secret(Name=name, SecretBinary=value)
    else:
        client.create_secret(Name=name, SecretString=value)
    with pytest.raises(SecretMissing):
        Secrets(client, "batchyard/providers/", lambda: 0.0).provider_key("openai")


def test_a_secret_that_is_marked_for_deletion_is_missing() -> None:
    """AWS keeps it for a week, and says something else of it than of one that nobody has made."""
    client = boto3.client("secretsmanager", region_name=REGION)
    client.create_secret(Name="batchyard/providers/openai", SecretString="sk-1")
    client.delete_secret(SecretId="batchyard/providers/openai", RecoveryWindowInDays=7)
    with pytest.raises(SecretMissing):
        Secrets(client, "batchyard/providers/", lambda: 0.0).provider_key("openai")
