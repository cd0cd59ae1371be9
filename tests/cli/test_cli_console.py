"""What a terminal sees, and what a pipe does."""

from __future__ import annotations

import io
import sys

import pytest

from batchyard_cli.console import Console
from batchyard_cli.exits import CommandFailed, Done
from batchyard_cli.texts import aligned, duration, printable, size


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """From here on stderr is a terminal of 60 columns. (No fixture: between fixtures and test pytest sets its own.)"""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "60")
    return terminal


def test_progress_moves_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look replaces the line before it, wholly, and no line is longer than the terminal; what is said next begins
    on a line of its own."""
    terminal = on_terminal(monkeypatch)
    console = Console(False, Clock())
    console.progress("in_progress", "in_progress  10/40  25%  12.0 items/s", {})
    console.progress("in_progress", "short", {})
    console.progress("in_progress", "x" * 200, {})
    console.say("done")
    lines = terminal.getvalue().split("\r")
    assert lines[1].rstrip() == "in_progress  10/40  25%  12.0 items/s"
    assert lines[2] == "short".ljust(len(lines[1]))
    assert lines[3] == "x" * 59 + "\ndone\n"


def test_progress_in_a_pipe_is_told_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    """When a stage begins, and every ten seconds: a log is not filled."""
    clock = Clock()
    console = Console(False, clock)
    for second in range(25):
        clock.seconds = second
        console.progress("validating" if second < 3 else "in_progress", f"at {second}", {})
    told = capsys.readouterr()
    assert (told.out, told.err.split("\n")) == ("", ["at 0", "at 3", "at 13", "at 23", ""])


def test_failures_are_red_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the way out is on a line of its own, whatever the output is."""
    terminal = on_terminal(monkeypatch)
    Console(True, Clock()).fail(CommandFailed("It broke.", "Mend it."))
    assert terminal.getvalue() == "\x1b[31mIt broke.\x1b[0m\n→ Mend it.\n"
    assert '"way_out": "Mend it."' in capsys.readouterr().out


def test_a_result_is_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    """People are told nothing at the end that they have not seen."""
    Console(False, Clock()).end(Done({"count": 1}))
    assert capsys.readouterr().out == ""
    Console(True, Clock()).end(Done({"count": 1}))
    assert capsys.readouterr().out == '{"type": "result", "ok": true, "exit_code": 0, "count": 1}\n'


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (duration(0.4), "0 s"),
        (duration(75), "1 min 15 s"),
        (duration(3_700), "1 h 1 min"),
        (duration(90_000), "1 d 1 h"),
        (size(999), "999 bytes"),
        (size(105_186), "105.2 kB"),
        (size(4_200_000_000), "4.2 GB"),
        (printable("a\x1b[2Jb\n\u202ec"), "a�[2Jb��c"),
        (printable("日本 ö"), "日本 ö"),
    ],
)
def test_figures(given: str, shown: str) -> None:
    """As people read them."""
    assert given == shown


def test_columns_of_figures_are_aligned_to_the_right() -> None:
    """Others to the left; a value that is not there is a dash."""
    assert aligned(("id", "n"), [("a", "1,000"), ("bb", "7"), ("c", "-")]) == [
        "ID      N",
        "a   1,000",
        "bb      7",
        "c       -",
    ]
