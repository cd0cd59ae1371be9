"""Who calls, with which credentials, and which ARNs the names in their calls mean.

Each function and each state machine has a session of its role from the template; people and tests are the user
`operator`, who may do anything.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from moto.iam.models import iam_backends
from moto.kms.exceptions import NotFoundException
from moto.kms.models import kms_backends
from moto.secretsmanager.models import secretsmanager_backends
from moto.stepfunctions.parser.models import stepfunctions_parser_backends
from moto.sts.models import sts_backends

from local.deployment.declared import ACCOUNT_ID, REGION
from local.iam.permissions import Principal, Resolver, Statement, read_statements
from local.simulated_aws.calls import Call

_EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a caller signs with. `session_token` is empty for a user."""

    access_key: str
    secret_key: str
    session_token: str


class Principals:
    """Knows who has which access key."""

    def __init__(self) -> None:
        self._by_key: dict[str, Principal] = {}

    def get(self, access_key: str) -> Principal | None:
        return self._by_key.get(access_key)

    def named(self, name: str) -> Principal:
        """Raises StopIteration if nobody has this name."""
        return next(principal for principal in self._by_key.values() if principal.name == name)

    def create_operator(self) -> Credentials:
        iam = iam_backends[ACCOUNT_ID]["aws"]
        user = iam.create_user(REGION, "operator")
        iam.put_user_policy("operator", "everything", json.dumps(_EVERYTHING))
        key = iam.create_access_key("operator")
        statements = tuple(read_statements(_EVERYTHING))
        self._by_key[key.access_key_id] = Principal("operator", user.arn, statements, key.secret_access_key)
        return Credentials(key.access_key_id, key.secret_access_key, "")

    def assume(self, role_arn: str, name: str) -> Credentials:
        """A session of the role; the meter counts its calls under `name`."""
        role = iam_backends[ACCOUNT_ID]["aws"].get_role_by_arn(role_arn)
        session = sts_backends[ACCOUNT_ID]["aws"].assume_role(REGION, name, role_arn, "{}", 43_200, "")
        self._by_key[session.access_key_id] = Principal(
            name,
            f"arn:aws:sts::{ACCOUNT_ID}:assumed-role/{role.name}/{name}",
            tuple(_statements(role)),
            session.secret_access_key,
            session.session_token,
        )
        return Credentials(session.access_key_id, session.secret_access_key, session.session_token)


def _statements(role: Any) -> Iterator[Statement]:
    documents: list[Any] = [*role.policies.values(), *(policy.document for policy in role.managed_policies.values())]
    for document in documents:
        yield from read_statements(json.loads(document) if isinstance(document, str) else document)


class BackendResolver(Resolver):
    """Asks moto for the ARN of a name."""

    def state_machine(self, call: Call) -> str:
        for name in ("stateMachineArn", "executionArn"):
            if name in call.parameters:
                return str(call.parameters[name])
        # A task token does not say which state machine it belongs to; if there is only one, it is that one.
        machines = state_machines()
        return machines[0].arn if len(machines) == 1 else "*"

    def secret(self, name: str) -> str:
        if name.startswith("arn:"):
            return name
        secret = secretsmanager_backends[ACCOUNT_ID][REGION].secrets.get(name)
        if secret is None:
            return f"arn:aws:secretsmanager:{REGION}:{ACCOUNT_ID}:secret:{name}-000000"
        return str(secret.arn)

    def key(self, name: str) -> str:
        """The key's ARN from its id, alias or ARN."""
        if name == "*":
            return name
        backend = kms_backends[ACCOUNT_ID][REGION]
        try:
            return str(backend.describe_key(backend.any_id_to_key_id(name)).arn)
        except (NotFoundException, KeyError):
            return f"arn:aws:kms:{REGION}:{ACCOUNT_ID}:key/{name}"


def state_machines() -> list[Any]:
    return list(stepfunctions_parser_backends[ACCOUNT_ID][REGION].state_machines)
