"""Calls of `batchyard`, in this process, with everything around it replaced."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from click.testing import CliRunner

from batchyard_cli.main import batchyard
from batchyard_cli.surroundings import Surroundings
from tests.cli.fake_api import ADDRESS, KEY, FakeApi

_OURS = ("BATCHYARD_URL", "BATCHYARD_API_KEY", "BATCHYARD_DEPLOYMENT", "NO_COLOR")


@dataclass(frozen=True)
class Said:
    """How a call ended: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        """stdout of a call with --json. Every line is an object, and the last one, and no other, is the result."""
        lines = [json.loads(line) for line in self.out.splitlines()]
        assert [line["type"] == "result" for line in lines] == [False] * (len(lines) - 1) + [True]
        assert lines[-1]["exit_code"] == self.code
        return lines

    @property
    def result(self) -> dict[str, Any]:
        return self.lines[-1]


@dataclass
class Shell:
    """`on_sleep`: called whenever a command waits; the clock has moved on by then."""

    folder: Path
    api: FakeApi = field(default_factory=FakeApi)
    environment: dict[str, str] = field(default_factory=lambda: {"BATCHYARD_URL": ADDRESS, "BATCHYARD_API_KEY": KEY})
    on_sleep: Callable[[], None] = lambda: None
    aws: Callable[[str], Any] | None = None
    keyring: bool = False

    def __call__(self, *arguments: str | Path, input: str | None = None) -> Said:
        surroundings = Surroundings(
            environment=self.environment,
            folder=self.folder / "config",
            transport=httpx.MockTransport(self.api),
            aws=self.aws,
            now=lambda: self.api.now,
            sleep=self._sleep,
            keyring=self.keyring,
        )
        before = Path.cwd()
        os.chdir(self.folder)
        try:
            called = CliRunner().invoke(
                batchyard,
                [str(each) for each in arguments],
                input=input,
                env=dict.fromkeys(_OURS) | self.environment,
                obj=surroundings,
            )
        finally:
            os.chdir(before)
        if called.exception is not None and not isinstance(called.exception, SystemExit):
            raise called.exception
        return Said(called.exit_code, called.stdout, called.stderr)

    def file(self, name: str, lines: list[dict[str, Any]] | bytes) -> Path:
        content = lines if isinstance(lines, bytes) else b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        path = self.folder / name
        path.write_bytes(content)
        return path

    def _sleep(self, seconds: float) -> None:
        self.api.now += seconds
        self.on_sleep()


def line(number: int, model: str = "gpt-4o-mini", **fields: Any) -> dict[str, Any]:
    body = {"model": model, "messages": [{"role": "user", "content": f"Say {number}."}]}
    return {"custom_id": f"item-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body} | fields
