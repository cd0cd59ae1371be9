"""Fields: reading rows and messages that another version of this code may have written.

After a rollback rows and messages carry fields that this version has never heard of. `known_fields` leaves them out.
Fields that older versions did not write have defaults in their dataclass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from batchyard.core.json_types import Row


def known_fields(kind: type[Any], row: Mapping[str, Any]) -> Row:
    """The members of `row` that the dataclass `kind` has fields for."""
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in row.items() if name in names}
