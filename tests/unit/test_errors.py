"""The tree of errors: what is drawn is what there is, and what is ours is never the caller's mistake."""

from __future__ import annotations

import ast
from pathlib import Path

from batchyard.adapters.aws.objects import ObjectMissing
from batchyard.core import errors
from batchyard.core.errors import RequestError

ROOT = Path(__file__).parents[2] / "functions" / "batchyard"
INDENT = 4


def drawn() -> dict[str, str]:
    """Error -> what it is drawn under."""
    parents, found = ["Exception"], {}
    for line in (errors.__doc__ or "").splitlines():
        name = line.strip("│├└─ ").partition(" ")[0]
        if line.startswith(" " * INDENT) and name:
            depth = (len(line) - len(line.lstrip("│├└─ "))) // INDENT
            found[name] = parents[depth - 1]
            parents[depth:] = [name]
    return found


def defined() -> dict[str, str]:
    """Exception class in the code -> its base class."""
    bases = {
        node.name: ast.unparse(node.bases[0])
        for path in ROOT.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and node.bases
    }

    def is_exception(name: str) -> bool:
        return name == "Exception" or (name in bases and is_exception(bases[name]))

    return {name: base for name, base in bases.items() if is_exception(name)}


def test_the_drawing_shows_every_error_and_no_other() -> None:
    """Each exception of the code is drawn under its base class, whichever module defines it."""
    assert drawn() == defined()


def test_a_missing_object_is_not_the_callers_mistake() -> None:
    """S3 lost it, or we did. It is a 404 only for a caller who named the file, and only the code that knows so makes it
    one."""
    assert not issubclass(ObjectMissing, RequestError)
