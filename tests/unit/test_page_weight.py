"""The dashboard's files: how heavy they are together, and that they are all there and come from nowhere else."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "functions" / "batchyard" / "dashboard"
FILES = sorted(path for path in PAGE.rglob("*") if path.is_file())
MOST_BYTES = 60_000
_IMPORTED = re.compile(r"""(?:from|import)\s+"([^"]+)"|(?:src|href)="([^"#]+)\"""")
_TRIMMED = (".html", ".css")


def test_all_files_together_weigh_less_than_60_kb() -> None:
    """As gzip sends them, with nothing left out: scripts, styles, the page and its icon."""
    weights = {path.name: len(gzip.compress(path.read_bytes(), 9, mtime=0)) for path in FILES}
    assert {"index.html", "app.js", "style.css"} <= weights.keys()
    assert sum(weights.values()) < MOST_BYTES, sorted(weights.items(), key=lambda each: -each[1])


def test_nothing_is_missing_and_nothing_comes_from_elsewhere() -> None:
    """Each file that is named is a file beside it, and each file is named by another one."""
    named = {"index.html"}
    for path in FILES:
        for pair in _IMPORTED.findall(path.read_text()):
            name = next(filter(None, pair))
            assert (PAGE / name).is_file(), f"{path.name} names {name}"
            named.add(name.removeprefix("./"))
    assert named == {path.name for path in FILES}


def test_no_text_becomes_markup() -> None:
    """No script uses one of the ways in which a text is read as HTML or as a script, and no markup carries styles or
    handlers, which the page's policy would refuse."""
    ways = re.compile(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\(|new Function|DOMParser|srcdoc")
    for path in FILES:
        text = path.read_text()
        assert not ways.search(text), path.name
        if path.suffix == ".html":
            assert not re.search(r"\s(?:style|on\w+)=", text)
