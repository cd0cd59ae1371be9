"""What a file may have in a deployment, which tells it (GET /v1/limits)."""

from __future__ import annotations

from dataclasses import dataclass, fields

from batchyard_cli.api import Api, Refused


@dataclass(frozen=True)
class Limits:
    """The defaults are those of a deployment that sets nothing (`batchyard.settings.Limits`)."""

    max_batch_items: int = 100_000
    max_file_bytes: int = 500_000_000
    max_line_bytes: int = 1_000_000
    max_custom_id_chars: int = 512
    max_line_errors: int = 50
    max_upload_part_bytes: int = 4_000_000


def limits_of(api: Api) -> Limits:
    """The deployment's; the defaults if it is too old to tell."""
    try:
        told = api.get("/limits")
    except Refused as refusal:
        if refusal.status != 404:
            raise
        return Limits()
    return Limits(**{each.name: int(told[each.name]) for each in fields(Limits)})
