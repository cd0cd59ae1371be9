"""A deployment of another name and size, on the local cloud."""

from __future__ import annotations

from local.cloud import LocalCloud
from local.options import realtime_only
from tests.customer import Customer, chat_line


def test_a_small_deployment_of_another_name_completes_a_batch() -> None:
    """In an account with a Lambda quota of 16 a batch completes; secrets, queues, functions and metrics bear the
    deployment's own name, and no grant is missing."""
    with (
        LocalCloud(deployment="tests/infra/small.toml", environment=realtime_only(), preload=True) as cloud,
        Customer(cloud, "small") as customer,
    ):
        batch, checked = customer.run([chat_line(number) for number in range(40)])
        assert (batch.status, checked.succeeded) == ("completed", 40)
        assert cloud.denials() == []
        secrets = cloud.client("secretsmanager").list_secrets()["SecretList"]
        assert {each["Name"].rpartition("/")[0] for each in secrets} == {"batchyard-small/providers"}
        assert all(name.startswith("batchyard-small-") for name in cloud.queue_depths())
        assert all(name.startswith("batchyard-small-") for name in cloud.functions.values())
        assert '"Namespace":"batchyard-small"' in cloud.log("work").replace(" ", "")
