"""New public ids, of this machine's clock and randomness."""

from __future__ import annotations

import secrets
import time

from batchyard.core.ids import RANDOM_BYTES, new_id


def mint(prefix: str) -> str:
    """An id that nobody has and nobody can guess."""
    return new_id(prefix, time.time_ns() // 1_000_000, secrets.token_bytes(RANDOM_BYTES))
