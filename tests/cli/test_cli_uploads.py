"""Uploads in parts that survive being interrupted."""

from __future__ import annotations

from pathlib import Path
from threading import Lock

import httpx
import pytest

from batchyard_cli import uploading
from tests.cli.fake_api import Fault, refusal
from tests.cli.shell import Shell, line

PART = 1000
PARTS = 5


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploading, "AT_ONCE_BYTES", PART)


def large(shell: Shell, model: str = "gpt-4o-mini") -> Path:
    lines = [line(number, model) for number in range(1000)]
    file = shell.file("large.jsonl", lines)
    content = file.read_bytes().splitlines(keepends=True)
    kept = b""
    while len(kept) <= (PARTS - 1) * PART:
        kept += content.pop(0)
    file.write_bytes(kept)
    return file


def parts_sent(shell: Shell) -> int:
    return sum(call.endswith("/parts") for call in shell.api.calls)


def after(count: int, answer: BaseException | httpx.Response) -> list[Fault]:
    """A fault: parts after the first `count` do not arrive. Several come at once."""
    arriving, lock = iter(range(count)), Lock()

    def fault(request: httpx.Request) -> httpx.Response | None:
        if not request.url.path.endswith("/parts"):
            return None
        with lock:
            if next(arriving, None) is not None:
                return None
        if isinstance(answer, BaseException):
            raise answer
        return answer

    return [fault]


def test_a_large_file_goes_in_parts(shell: Shell) -> None:
    """Each part once, joined in order, checked by MD5; nothing of it stays in the user's folder."""
    file = large(shell)
    assert shell("submit", file).code == 0
    assert parts_sent(shell) == PARTS
    assert list(shell.api.files.values()) == [file.read_bytes()]
    assert list((shell.folder / "config" / "uploads").iterdir()) == []


def test_parts_are_as_large_as_the_deployment_takes(shell: Shell) -> None:
    """A deployment that takes smaller parts is asked, and gets them."""
    shell.api.told_limits = {"max_upload_part_bytes": PART // 2}
    file = large(shell)
    assert shell("submit", file).code == 0
    assert parts_sent(shell) == -(-file.stat().st_size // (PART // 2))
    assert list(shell.api.files.values()) == [file.read_bytes()]


def test_an_upload_goes_on_where_it_stopped(shell: Shell) -> None:
    """After the network was lost for good, the second call sends only what is missing, and makes no second upload."""
    file = large(shell)
    shell.api.faults = after(2, httpx.ConnectError("lost"))
    said = shell("submit", file)
    assert (said.code, "cannot be reached" in said.err) == (1, True)
    shell.api.faults, shell.api.requests = [], []
    said = shell("submit", file)
    assert said.code == 0
    assert f"going on with an upload that has 2 of {PARTS} parts" in said.err
    assert parts_sent(shell) == PARTS - 2
    assert len(shell.api.uploads) == 1
    assert list(shell.api.files.values()) == [file.read_bytes()]


def test_ctrl_c_while_uploading(shell: Shell) -> None:
    """Exits with 2, says that nothing was started and how to go on; what was sent is kept."""
    file = large(shell)
    shell.api.faults = after(1, KeyboardInterrupt())
    said = shell("run", file, "--json")
    assert said.code == 2
    assert said.result["error"]["way_out"] == f"`batchyard run {file}` goes on where this stopped."
    assert shell.api.batches == {}
    shell.api.faults, shell.api.requests = [], []
    assert shell("run", file).code == 0
    assert parts_sent(shell) == PARTS - 1


def test_a_changed_file_is_another_upload(shell: Shell) -> None:
    """The parts of the old content are not mixed with those of the new one."""
    file = large(shell)
    shell.api.faults = after(2, httpx.ConnectError("lost"))
    shell("submit", file)
    shell.api.faults, shell.api.requests = [], []
    file = large(shell, model="gpt-4o")
    assert shell("submit", file).code == 0
    assert parts_sent(shell) == PARTS
    assert list(shell.api.files.values()) == [file.read_bytes()]


@pytest.mark.parametrize("how", ["expired", "unknown to the API", "damaged"])
def test_an_upload_that_is_gone_begins_anew(shell: Shell, how: str) -> None:
    """What is kept of an upload that has expired, or that the API does not know any more, or that cannot be read, does
    not get in the way."""
    file = large(shell)
    shell.api.faults = after(2, httpx.ConnectError("lost"))
    shell("submit", file)
    shell.api.faults, shell.api.requests = [], []
    if how == "expired":
        shell.api.now += 3600
    elif how == "unknown to the API":
        lost = next(iter(shell.api.uploads))
        shell.api.faults = [
            lambda request: refusal(404, "No such Upload.", "upload_not_found") if lost in str(request.url) else None
        ]
    else:
        next((shell.folder / "config" / "uploads").iterdir()).write_text("{")
    said = shell("submit", file)
    assert said.code == 0, said.err
    assert list(shell.api.files.values()) == [file.read_bytes()]


def test_a_refused_part_is_told(shell: Shell) -> None:
    """A refusal that has nothing to do with an earlier call is not tried for ever."""
    shell.api.faults = after(0, refusal(413, "The part is too large.", "part_too_large"))
    said = shell("submit", large(shell))
    assert said.code == 1
    assert "The part is too large." in said.err
    assert len(shell.api.uploads) == 1
