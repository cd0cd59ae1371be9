"""`python -m batchyard_cli`: the same as `batchyard`."""

from __future__ import annotations

from batchyard_cli.main import run

run()
