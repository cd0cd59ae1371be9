"""`python -m batchyard_cli`: the same as `batchyard`."""

from __future__ import annotations

from batchyard_cli.start import run

run()
