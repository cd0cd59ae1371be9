"""The benchmark of single steps runs the deployed steps, so what they begin to ask of storage has to be there."""

from __future__ import annotations

from pathlib import Path

from bench import steps


def test_both_steps_run_on_a_folder(tmp_path: Path) -> None:
    """Validate reads the whole input, and Finalize writes a result for each item."""
    validated, finalized = steps.measure(tmp_path, 500)
    assert (validated.step, validated.items) == ("validate", 500)
    assert (finalized.step, finalized.items) == ("finalize", 500)
    assert finalized.bytes > validated.bytes
