"""The simulated provider as a process of its own, for tests, the local cloud and benchmarks."""

from __future__ import annotations

import http.client
import re
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import orjson

from local.provider.config import Config
from local.provider.ledger import Billed, Served

_REPOSITORY = Path(__file__).parents[2]
_ANNOUNCEMENT = re.compile(r"listening on (\S+) \(controls: (\S+)\)\n")

_VERSIONS = {"gemini": "/v1beta", "groq": "/openai/v1", "azure": "/openai/v1"}


class SimulatedProvider:
    """Starts when made, stops with the `with` block, `stop()`, or the death of the process that made it.

    `settings` are those of `local.provider.config.Config`.
    """

    def __init__(self, **settings: Any) -> None:
        config = Config().changed(settings)
        command = [sys.executable, "-m", "local.provider", "--ends-with-stdin"]
        self._process = subprocess.Popen(
            [*command, "--settings", orjson.dumps(config.to_dict()).decode()],
            cwd=_REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        announced = _ANNOUNCEMENT.fullmatch(self._process.stdout.readline())
        if announced is None:
            self.stop()
            raise RuntimeError("the simulated provider did not start; its standard error says why")
        self.url, self._control_url = announced.groups()
        """`url`: base URL, `http://127.0.0.1:<port>/v1`. Controls are reached while that refuses connections, too."""

    def url_of(self, provider: str) -> str:
        """Base URL under which requests count as those of `provider`, as that vendor has it: with its version."""
        return f"{self.url.removesuffix('/v1')}/{provider}{_VERSIONS.get(provider, '/v1')}"

    def stats(self) -> dict[str, Any]:
        """See `local.provider.ledger.Ledger.stats`."""
        stats: dict[str, Any] = self._call("GET", "/_sim/stats")
        return stats

    def counts(self) -> dict[str, Served]:
        """`request_hash(body)` -> how often it was received and answered well."""
        return {name: Served(*pair) for name, pair in self._call("GET", "/_sim/counts").items()}

    def bills(self) -> dict[str, Billed]:
        """`text_hash(body)` -> how often an item that says this was billed, in whatever dialect, in each mode."""
        return {name: Billed(*modes) for name, modes in self._call("GET", "/_sim/bills").items()}

    def jobs(self) -> list[dict[str, Any]]:
        """All jobs, oldest first, as `local.provider.jobs.runs.Runs.to_dicts` has them; deleted ones, too."""
        jobs: list[dict[str, Any]] = self._call("GET", "/_sim/jobs")
        return jobs

    def files(self) -> list[dict[str, Any]]:
        """All files, as `local.provider.jobs.files.Files.to_dicts` has them; deleted ones, too."""
        files: list[dict[str, Any]] = self._call("GET", "/_sim/files")
        return files

    def advance(self, seconds: float) -> None:
        """Puts the clock of jobs forward, at once."""
        self._call("POST", "/_sim/clock", {"seconds": seconds})

    def configure(self, **settings: Any) -> None:
        """Changes some settings, from the next request on; the others stay. So an outage is switched on with
        `faults={"status:503": 1}` and off with `faults={}`; `is_down` takes effect within a few milliseconds."""
        self._call("POST", "/_sim/config", settings)

    def reset(self) -> None:
        """Empties the ledger, forgets all jobs and files, and goes back to the settings of the start."""
        self._call("POST", "/_sim/reset", {})

    def stop(self) -> None:
        """May be called twice."""
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait(timeout=120)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def __enter__(self) -> SimulatedProvider:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _call(self, method: str, path: str, content: dict[str, Any] | None = None) -> Any:
        address = urlsplit(self._control_url)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=300)
        try:
            connection.request(method, path, None if content is None else orjson.dumps(content))
            response = connection.getresponse()
            answer = orjson.loads(response.read())
        finally:
            connection.close()
        if response.status != 200:
            raise ValueError(answer["error"]["message"])
        return answer
