"""Fields: what this code knows of a row or a message that other versions of it write too.

After a rollback rows and messages carry fields that this version has never heard of. They are left out here, so that
they harm nobody; fields that older versions did not write have defaults in their dataclass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any


def known_fields(kind: type[Any], row: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `row` that are fields of the dataclass `kind`, by name."""
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in row.items() if name in names}
