"""Names for values whose members no type knows: JSON that came from outside, and rows of the table.

What is in them is checked where they are read; nothing else in the code should need `Any`.
"""

from __future__ import annotations

from typing import Any

JsonObject = dict[str, Any]
"""A JSON object as it was read."""
Row = dict[str, Any]
"""A row of the DynamoDB table: int, str, bytes, bool, None, list, dict, set[int] and set[str]."""
