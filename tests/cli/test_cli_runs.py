"""`run`, `submit`, `watch`, `ls`, `show`, `results`, `cancel` against an API in memory."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from tests.cli.fake_api import refusal, step
from tests.cli.shell import Shell, line

FOUR = [line(number) for number in range(4)]


def test_a_file_goes_out_and_comes_back(shell: Shell) -> None:
    """`run` checks, uploads, creates, watches, and writes the results; figures go to stdout, progress to stderr."""
    file = shell.file("work.jsonl", FOUR)
    said = shell("run", file, "--metadata", "job=x", "--concurrency", "7")
    assert said.code == 0
    assert "completed  4/4  100%" in said.err
    assert (shell.folder / "work.output.jsonl").read_bytes() == b'{"custom_id": "a"}\n' * 4
    assert "succeeded   4" in said.out
    assert "cost        $0.001000\n  in realtime $0.002000" in said.out
    assert "uploaded" not in said.out
    created = next(each for each in shell.api.requests if each.url.path.endswith("/v1/batches"))
    assert json.loads(created.content) == {
        "input_file_id": "file-0",
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
        "metadata": {"job": "x"},
        "settings": {"concurrency": 7},
    }
    assert shell.api.files["file-0"] == file.read_bytes()


@pytest.mark.parametrize(
    ("flags", "settings"),
    [
        ((), None),
        (("--identical-once",), {"identical_once": True}),
        (("--identical-once", "--concurrency", "7"), {"concurrency": 7, "identical_once": True}),
    ],
)
def test_identical_lines_are_sent_once_if_asked_for(
    shell: Shell, flags: tuple[str, ...], settings: dict[str, object] | None
) -> None:
    """The batch is told so; without the flag it is told nothing."""
    assert shell("submit", shell.file("work.jsonl", FOUR), *flags).code == 0
    created = next(each for each in shell.api.requests if each.url.path.endswith("/v1/batches"))
    assert json.loads(created.content).get("settings") == settings


def test_programs_read_lines_and_a_result(shell: Shell) -> None:
    """--json: progress lines with done, total, rate, cost and time left; the last line is the result with the batch."""
    shell.api.life = [step("in_progress"), step("in_progress", 2), step("in_progress", 3, 1), step("completed", 3, 1)]
    said = shell("run", shell.file("work.jsonl", FOUR), "--json", "--out", "out")
    progress = [each for each in said.lines if each["type"] == "progress" and "done" in each]
    assert [each["done"] for each in progress] == [0, 0, 2, 4, 4]
    assert progress[2]["items_per_second"] == 0.5
    assert progress[2]["seconds_left"] == 4
    assert progress[2]["cost_usd"] == "0.001000"
    assert said.result["files"] == {"output": "out/work.output.jsonl", "errors": "out/work.errors.jsonl"}
    assert said.result["ok"] is False
    assert said.result["batch"]["status"] == "completed"


@pytest.mark.parametrize(
    ("last", "code"),
    [
        (step("completed", 4), 0),
        (step("completed", 3, 1), 3),
        (step("expired", 3, 1), 3),
        (step("cancelled", 1, 3), 2),
        (step("failed", total=0), 1),
    ],
    ids=lambda value: value["status"] if isinstance(value, dict) else str(value),
)
def test_the_exit_code_says_how_the_batch_ended(shell: Shell, last: dict[str, object], code: int) -> None:
    """0 completed, 1 failed, 2 cancelled, 3 with failed items: for `run`, `watch` and `results` alike."""
    shell.api.life = [last]
    assert shell("run", shell.file("work.jsonl", FOUR)).code == code
    batch = next(iter(shell.api.batches))
    assert shell("watch", batch).code == code
    assert shell("results", batch).code == code


def test_a_bad_file_is_not_sent(shell: Shell) -> None:
    """`run` names each wrong line and how to go on, and uploads nothing; --no-check leaves it to the server."""
    file = shell.file("work.jsonl", [line(1), line(1), line(2, method="GET")])
    said = shell("run", file)
    assert said.code == 1
    assert f"{file}:2: duplicate_custom_id" in said.out
    assert f"{file}:3: invalid_method" in said.out
    assert "→ Mend the lines above" in said.err
    assert set(shell.api.calls) == {"GET /limits", "POST /plan"}
    shell("run", file, "--no-check")
    assert "POST /files" in shell.api.calls


def test_ctrl_c_detaches(shell: Shell) -> None:
    """Ctrl-C while a batch runs leaves it alone, exits with 2 and says how to attach again and how to stop it."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    shell.on_sleep = interrupt
    said = shell("run", shell.file("work.jsonl", FOUR), "--json")
    batch = next(iter(shell.api.batches))
    assert said.code == 2
    assert f"batchyard watch {batch}" in said.err
    assert f"batchyard cancel {batch}" in said.err
    assert said.result["error"]["code"] == "interrupted"
    assert not [call for call in shell.api.calls if call.endswith("/cancel")]
    shell.on_sleep = lambda: None
    assert shell("watch", batch).code == 0
    assert (shell.folder / f"{batch}.output.jsonl").exists()


def test_ctrl_c_while_creating(shell: Shell) -> None:
    """Nobody knows whether the batch was made: the message says so, and not to send the file again before a look."""

    def interrupt(request: httpx.Request) -> httpx.Response | None:
        if request.url.path.endswith("/v1/batches"):
            raise KeyboardInterrupt
        return None

    shell.api.faults = [interrupt]
    said = shell("run", shell.file("work.jsonl", FOUR))
    assert said.code == 2
    assert "batchyard ls" in said.err


def test_a_lost_network_ends_nothing(shell: Shell) -> None:
    """While the API cannot be reached, `watch` says so and looks again, less and less often, until it can."""
    batch = shell.api.add_batch(1)["id"]
    shell.api.life = [step("in_progress"), step("completed", 4)]
    lost = iter(range(12))

    def fault(request: httpx.Request) -> httpx.Response | None:
        if len(shell.api.requests) > 1 and next(lost, None) is not None:
            raise httpx.ConnectError("no route")
        return None

    shell.api.faults = [fault]
    said = shell("watch", batch)
    assert said.code == 0
    assert said.err.count("The batch goes on; looking again in") == 2
    assert "looking again in 8 s" in said.err


def test_requests_are_sent_again_and_say_so(shell: Shell) -> None:
    """A 503 or 429 is waited out. The repeat counts itself, and creation keeps its idempotency key, so that nothing is
    made twice."""
    refused = iter([refusal(503, "later", None), httpx.Response(429, headers={"retry-after": "7"}, json={})])
    shell.api.faults = [
        lambda request: next(refused, None) if request.url.path.endswith("/v1/batches") else None  # type: ignore[list-item]
    ]
    before = shell.api.now
    assert shell("submit", shell.file("work.jsonl", FOUR)).code == 0
    creations = [each for each in shell.api.requests if each.url.path.endswith("/v1/batches")]
    assert [each.headers.get("x-stainless-retry-count") for each in creations] == [None, "1", "2"]
    assert len({each.headers["idempotency-key"] for each in creations}) == 1
    assert shell.api.now - before >= 7


def test_submit_prints_the_id(shell: Shell) -> None:
    """stdout of `submit` is the batch's id and nothing else, so that a script can take it."""
    said = shell("submit", shell.file("work.jsonl", FOUR))
    assert said.out == f"{next(iter(shell.api.batches))}\n"
    assert "batchyard watch" in said.err


def test_waits_are_told_once(shell: Shell) -> None:
    """Why a batch stands still is said when it begins, not with every look."""
    wait = {"state": "blocked", "message": "openai does not accept this deployment's API key."}
    shell.api.life = [step("in_progress", waiting_for=[wait])] * 4 + [step("completed", 4, waiting_for=[])]
    said = shell("watch", shell.api.add_batch(1)["id"])
    assert said.err.count("blocked: openai does not accept") == 1


def test_ls_goes_through_the_pages(shell: Shell) -> None:
    """`ls` lists newest first, as many as were asked for, and one status if asked."""
    for number in range(130):
        shell.api.add_batch(number, **step("completed" if number % 2 else "failed", number))
    said = shell("ls", "--limit", "120", "--json")
    assert [each["id"] for each in said.lines[:-1]] == [f"batch_{number:026d}" for number in range(129, 9, -1)]
    assert said.result["count"] == 120
    only = shell("ls", "--status", "failed", "--json", "--limit", "60")
    assert {each["status"] for each in only.lines[:-1]} == {"failed"}
    assert only.result["count"] == 60
    assert shell("ls", "--limit", "3").out.splitlines()[0].split() == [
        "ID",
        "STATUS",
        "DONE",
        "FAILED",
        "TOTAL",
        "COST",
        "USD",
        "CREATED",
    ]


def test_ls_without_batches_says_how_to_begin(shell: Shell) -> None:
    """An empty list is empty stdout, and a hint on stderr."""
    said = shell("ls")
    assert (said.code, said.out) == (0, "")
    assert "batchyard run FILE" in said.err


def test_show_tells_everything(shell: Shell) -> None:
    """Times, lanes, waits and errors with their lines."""
    errors = {"data": [{"code": "invalid_json_line", "message": "This line is no JSON.", "line": 7, "param": None}]}
    lane = {
        "provider": "openai",
        "model": "gpt-4o",
        "mode": "native",
        "items": 4,
        "done_percent": 50,
        "state": "running",
        "reason": None,
    }
    wait = {"state": "throttled", "message": "As fast as the limits allow."}
    shell.api.life = []
    batch = shell.api.add_batch(1, errors=errors, lanes=[lane], waiting_for=[wait], metadata={"job": "x"})["id"]
    said = shell("show", batch)
    for expected in ("line 7: invalid_json_line", "native", "50%", "meta job   x", "created", "in_progress"):
        assert expected in said.out
    assert "throttled: As fast" in said.err


def test_results_to_stdout(shell: Shell) -> None:
    """`results --stdout` is both files' lines; with --json each is an object of type `item`."""
    shell.api.life = [step("completed", 2, 1)]
    batch = shell.api.add_batch(1)["id"]
    said = shell("results", batch, "--stdout")
    assert said.out == '{"custom_id": "a"}\n' * 2 + '{"custom_id": "b"}\n'
    listed = shell("results", batch, "--stdout", "--json")
    assert [each["line"]["custom_id"] for each in listed.lines[:-1]] == ["a", "a", "b"]


def test_results_that_are_not_there_yet(shell: Shell) -> None:
    """A batch that runs has no results; the message says what waits for them."""
    shell.api.life = [step("in_progress", 1)]
    said = shell("results", shell.api.add_batch(1)["id"])
    assert said.code == 1
    assert "batchyard watch" in said.err


def test_a_broken_download_leaves_no_half_file(shell: Shell) -> None:
    """The file has its name only when it is whole."""
    shell.api.life = [step("completed", 2)]
    batch = shell.api.add_batch(1)["id"]

    def fault(request: httpx.Request) -> httpx.Response | None:
        if request.url.path.endswith("/content"):
            raise httpx.ReadError("gone")
        return None

    shell.api.faults = [fault]
    said = shell("results", batch)
    assert (said.code, "→" in said.err) == (1, True)
    assert not (shell.folder / f"{batch}.output.jsonl").exists()


def test_cancel_says_how_to_get_what_was_done(shell: Shell) -> None:
    """Cancelling is no failure."""
    batch = shell.api.add_batch(1)["id"]
    said = shell("cancel", batch)
    assert (said.code, said.out) == (0, f"{batch} is cancelling\n")
    assert "batchyard watch" in said.err


@pytest.mark.parametrize("status", [400, 401, 402, 404, 409, 413, 429, 500])
def test_every_refusal_has_a_way_out(shell: Shell, status: int) -> None:
    """Whatever the API refuses, the message is followed by what to do, and a key that is refused exits with 4."""
    shell.api.faults = [lambda request: refusal(status, "No.", "a_code")]
    said = shell("show", "batch_x", "--json")
    assert said.code == (4 if status == 401 else 1)
    assert said.result["error"]["code"] == "a_code"
    assert len(said.result["error"]["way_out"]) > 20
    assert said.err.splitlines()[-1] == f"→ {said.result['error']['way_out']}"


def test_what_comes_from_elsewhere_cannot_drive_the_terminal(shell: Shell) -> None:
    """Escape sequences in names and messages are shown as what they are; pipes get no colours."""
    shell.api.life = []
    batch = shell.api.add_batch(1, model="\x1b[31mred\x1b]0;title\x07", metadata={"a": "b\r\x1b[2K"})["id"]
    said = shell("show", batch)
    failed = shell("show", "batch_none")
    assert "\x1b" not in said.out + said.err + failed.out + failed.err
    assert "\r" not in said.out


def test_metadata_has_to_be_pairs(shell: Shell) -> None:
    """A mistake in an option is found before anything is sent."""
    said = shell("submit", shell.file("work.jsonl", FOUR), "--metadata", "nonsense")
    assert said.code == 1
    assert "NAME=VALUE" in said.err
    assert shell.api.calls == []


def test_no_file_no_batch(shell: Shell, tmp_path: Path) -> None:
    """A file that is missing or empty, or says nowhere where it goes, is told as such."""
    assert shell("run", tmp_path / "none.jsonl").code == 1
    assert "No line at the beginning" in shell("run", shell.file("empty.jsonl", b"")).err
    assert shell.api.calls == []
