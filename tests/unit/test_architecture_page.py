"""docs/architecture.md names files and functions that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
NAMED = sorted(set(re.findall(r"`([\w.-]+(?:/[\w.-]+)+|\w+\.py)(?:::([\w.]+))?`", PAGE.replace("/`", "/.`"))))
FOLDERS = ("", "functions/batchyard")


def found(path: str) -> Path | None:
    """The file or folder that the page means."""
    places = [ROOT / folder / path for folder in FOLDERS]
    return next((place for place in places if place.exists()), None)


def names(path: Path) -> set[str]:
    """What a module defines: functions, classes, their methods and members, and constants."""
    defined: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        defined |= _names_of(node)
        if isinstance(node, ast.ClassDef):
            defined |= {f"{node.name}.{inner}" for member in node.body for inner in _names_of(member)}
    return defined


def _names_of(node: ast.stmt) -> set[str]:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return {name}
        case ast.Assign(targets=targets):
            return {target.id for target in targets if isinstance(target, ast.Name)}
        case ast.AnnAssign(target=ast.Name(id=name)):
            return {name}
    return set()


@pytest.mark.parametrize(("path", "name"), NAMED, ids=["::".join(filter(None, each)) for each in NAMED])
def test_what_the_page_names_exists(path: str, name: str) -> None:
    """A file or function that was renamed is renamed on the page, too."""
    place = found(path)
    assert place is not None, f"{path} does not exist"
    assert not name or name in names(place), f"{path} has no {name}"


def test_the_page_walks_through_every_room() -> None:
    """Each room of the deployed code is on the way of the item, and on the picture."""
    rooms = {room.name for room in (ROOT / "functions" / "batchyard").iterdir() if (room / "__init__.py").exists()}
    assert {room for room in rooms if f"{room}/" not in PAGE} == set()
    assert {path.partition("/")[0] for path, _ in NAMED} >= rooms
    assert len(NAMED) > 40


def test_every_change_has_a_place_and_a_test() -> None:
    """Each row of the table names where and which test."""
    rows = [row for row in PAGE.split("## Where is it changed")[1].splitlines() if row.startswith("| ")][1:]
    assert len(rows) > 9
    for row in rows:
        _, what, where, test, _ = row.split("|")
        assert "`" in where and "`tests/" in test, what
