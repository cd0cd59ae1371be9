"""What a file may have in a deployment, which tells it: GET /v1/limits, and for the other dialects what its dashboard
asks."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from batchyard_cli.api import Api, Refused
from batchyard_cli.forms import DIALECTS


@dataclass(frozen=True)
class Limits:
    """The defaults are those of a deployment that sets nothing (`batchyard.settings.Limits`)."""

    max_batch_items: int = 100_000
    max_file_bytes: int = 500_000_000
    max_line_bytes: int = 1_000_000
    max_custom_id_chars: int = 512
    max_line_errors: int = 50
    max_upload_part_bytes: int = 4_000_000

    def within(self, dialect: str) -> Limits:
        """Those that hold if a dialect's own are narrower."""
        return replace(
            self, **{name: min(most, getattr(self, name)) for name, most in DIALECTS[dialect].limits.items()}
        )


def limits_of(api: Api, dialect: str = "openai") -> Limits:
    """The deployment's; the defaults if it is too old to tell."""
    shown = _get("/limits", api)
    limits = Limits(**{each.name: int(shown[each.name]) for each in fields(Limits)}) if shown else Limits()
    if dialect == "openai":
        return limits
    session = _get(api.beside("/dashboard/api/session"), api)
    own = session.get("deployment", {}).get("dialects", {}).get(dialect)
    return replace(limits, **{name: int(most) for name, most in own.items()}) if own else limits.within(dialect)


def _get(path: str, api: Api) -> dict[str, Any]:
    """What the deployment answers; empty if it does not know the question."""
    try:
        answer: dict[str, Any] = api.get(path)
    except Refused as refusal:
        if refusal.status != 404:
            raise
        return {}
    return answer
