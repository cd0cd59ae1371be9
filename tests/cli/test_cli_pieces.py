"""`split` and `merge` lose nothing, repeat nothing, and change no byte of a line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard_cli.exits import CommandFailed
from batchyard_cli.pieces import merge_files, split_file
from tests.cli.shell import Shell, line


@given(
    texts=st.lists(st.text(max_size=20), min_size=1, max_size=30),
    items=st.integers(1, 8),
    size=st.integers(200, 800),
    ending=st.sampled_from(["", "\n", "\r\n\n"]),
)
def test_pieces_are_the_whole(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], items: int, size: int, ending: str
) -> None:
    """Whatever the lines and limits: each piece keeps to them, and all lines are there once, in order."""
    folder = tmp_path_factory.mktemp("pieces")
    lines = [
        json.dumps({"custom_id": str(n), "text": text}, ensure_ascii=False).encode() for n, text in enumerate(texts)
    ]
    whole = folder / "whole.jsonl"
    whole.write_bytes(b"\r\n".join(lines) + ending.encode())
    pieces = split_file(whole, folder / "out", items, size)
    assert all(each.items <= items and each.bytes <= size for each in pieces)
    assert [each.path.stat().st_size for each in pieces] == [each.bytes for each in pieces]
    assert [found for each in pieces for found in each.path.read_bytes().splitlines()] == lines


def test_split_says_what_it_made(shell: Shell) -> None:
    """A row per piece, numbered after the file."""
    said = shell(
        "split", shell.file("big.jsonl", [line(n) for n in range(5)]), "--items", "2", "--out", "parts", "--json"
    )
    assert [(each["file"], each["items"]) for each in said.lines[:-1]] == [
        ("parts/big-001.jsonl", 2),
        ("parts/big-002.jsonl", 2),
        ("parts/big-003.jsonl", 1),
    ]
    assert said.result["items"] == 5


def test_split_leaves_nothing_half_done(shell: Shell) -> None:
    """A line that fits nowhere, or a file that is in the way: no piece stays, and nothing is overwritten."""
    file = shell.file("big.jsonl", [line(1), line(2, body={"x": "y" * 1000})])
    said = shell("split", file, "--bytes", "300", "--out", "parts")
    assert (said.code, f"{file}:2" in said.err) == (1, True)
    assert list((shell.folder / "parts").iterdir()) == []
    (shell.folder / "parts" / "big-002.jsonl").write_text("mine")
    said = shell("split", file, "--items", "1", "--out", "parts")
    assert (said.code, "exists already" in said.err) == (1, True)
    assert [each.read_text() for each in (shell.folder / "parts").iterdir()] == ["mine"]


def test_merge_in_the_order_of_the_input(shell: Shell) -> None:
    """With --like, output and error files of several batches become one file in the input's order."""
    like = shell.file("whole.jsonl", [line(n) for n in range(6)])
    one = shell.file("a.output.jsonl", [{"custom_id": f"item-{n}", "response": n} for n in (2, 0, 1)])
    two = shell.file("b.output.jsonl", [{"custom_id": f"item-{n}", "response": n} for n in (5, 3)])
    bad = shell.file("b.errors.jsonl", b'{"custom_id": "item-4", "error": 4}')
    said = shell("merge", one, two, bad, "--like", like, "--out", "all.jsonl")
    assert said.code == 0
    found = [json.loads(each) for each in (shell.folder / "all.jsonl").read_text().splitlines()]
    assert [each["custom_id"] for each in found] == [f"item-{n}" for n in range(6)]
    assert found[4] == {"custom_id": "item-4", "error": 4}


def test_merge_misses_nothing(shell: Shell) -> None:
    """What has no result is counted and named, and the exit code says so."""
    like = shell.file("whole.jsonl", [line(n) for n in range(3)])
    one = shell.file("a.jsonl", [{"custom_id": "item-1"}])
    said = shell("merge", one, "--like", like, "--out", "all.jsonl", "--json")
    assert (said.code, said.result["missing"]) == (1, 2)
    assert "item-0, item-2" in said.err


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        (['{"custom_id": "item-1"}', '{"custom_id": "item-1"}'], "duplicate_custom_id"),
        (['{"custom_id": "stranger"}'], "not_of_this_input"),
        (["no json"], "invalid_line"),
    ],
)
def test_merge_refuses_what_does_not_belong(tmp_path: Path, lines: list[str], code: str) -> None:
    """A result twice, a result of nobody, and what is no result; the target is not touched."""
    like, results = tmp_path / "like.jsonl", tmp_path / "results.jsonl"
    like.write_text(json.dumps(line(1)))
    results.write_text("\n".join(lines))
    with pytest.raises(CommandFailed) as refused:
        merge_files([results], tmp_path / "all.jsonl", like)
    assert refused.value.code == code
    assert not (tmp_path / "all.jsonl").exists()
