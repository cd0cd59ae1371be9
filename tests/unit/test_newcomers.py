"""What somebody sees who runs `make local` or `make demo` for the first time."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from local import demo

local_main = importlib.import_module("local.__main__")
STATE = {
    "api_url": "http://127.0.0.1:8787",
    "api_key": "by_live_" + "a" * 32,
    "aws_endpoint": "http://127.0.0.1:9",
    "access_key_id": "a",
    "secret_access_key": "s",
    "region": "us-east-1",
    "functions": {"admin": "batchyard-admin"},
    "drop_bucket": "drop",
    "account_id": "acct_1",
    "provider_url": "http://127.0.0.1:10",
    "logs": "logs",
}


def test_the_local_cloud_prints_its_dashboard_signed_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The address has the key behind the #, which browsers send to nobody; the file with the key is its owner's."""
    local_main._announce(STATE, tmp_path, 1.0)
    first = capsys.readouterr().out.splitlines()[0]
    assert f"http://127.0.0.1:8787/dashboard/#key={STATE['api_key']}" in first.split()
    assert (tmp_path / "env").stat().st_mode & 0o077 == 0


def test_the_demo_says_what_to_try_next(capsys: pytest.CaptureFixture[str]) -> None:
    """The dashboard and the command line, in commands that exist; README shows the same words."""
    demo.say_what_next()
    said = capsys.readouterr().out
    assert "make local" in said and "dashboard" in said and ".venv/bin/batchyard run" in said
    assert said in (Path(__file__).parents[2] / "README.md").read_text()
