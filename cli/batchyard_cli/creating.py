"""Making a batch of a file, by the surface in whose form its lines are. Then it is looked at as all batches are."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from batchyard_cli.api import Api, Unreachable
from batchyard_cli.exits import CommandFailed
from batchyard_cli.forms import DIALECTS, Form, our_id

ANTHROPICS_VERSION = {"anthropic-version": "2023-06-01"}
"""A header that Anthropic's surface asks for."""


@dataclass(frozen=True)
class Wishes:
    """What a batch is to have beside its file."""

    metadata: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def members(self) -> dict[str, Any]:
        """What was asked for, and nothing else: a deployment of an earlier version may not know the rest."""
        return {name: dict(value) for name, value in vars(self).items() if value}


def check_wishes(form: Form, wishes: Wishes) -> None:
    """Raises CommandFailed if such batches cannot have one of them."""
    dialect = DIALECTS[form.dialect]
    asked = {"metadata": bool(wishes.metadata)} | dict.fromkeys(wishes.settings, True)
    for name in sorted(dialect.lacks):
        if asked.get(name):
            raise CommandFailed(
                f"A batch of lines in {dialect.title} takes no {name}.", f"Leave --{name} out.", code="usage"
            )


def create(form: Form, file_id: str, wishes: Wishes, api: Api) -> dict[str, Any]:
    """The batch. If it was made and cannot be looked at, no more than its id and status."""
    key = secrets.token_hex(16)
    wanted = {"input_file_id": file_id} | wishes.members()
    match form.dialect:
        case "anthropic":
            made = api.post("/messages/batches", {"requests": []} | wanted, key, headers=ANTHROPICS_VERSION)
        case "batchrouter":
            quote = api.post("/quotes/model", {"input_file_id": file_id})
            made = api.post("/batches", wanted | {"quote_id": quote["quote_id"]}, key)["batch"]
        case "kushrouter":
            made = api.post(api.beside("/api/v1/batches"), wanted, key)
        case _:
            wanted |= {"endpoint": form.endpoint, "completion_window": "24h"}
            batch: dict[str, Any] = api.post("/batches", wanted, key)
            return batch
    return _look(our_id(made["id"]), api)


def _look(batch_id: str, api: Api) -> dict[str, Any]:
    try:
        batch: dict[str, Any] = api.get(f"/batches/{batch_id}")
    except Unreachable:
        return {"id": batch_id, "status": "validating"}
    return batch
