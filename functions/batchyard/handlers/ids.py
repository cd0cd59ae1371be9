"""New public ids, made with this machine's clock and randomness."""

from __future__ import annotations

import secrets
import time

from batchyard.core.ids import RANDOM_BYTES, new_id


def mint(prefix: str) -> str:
    """An id that is new and cannot be guessed."""
    return new_id(prefix, time.time_ns() // 1_000_000, secrets.token_bytes(RANDOM_BYTES))
