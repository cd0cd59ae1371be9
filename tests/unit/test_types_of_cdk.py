"""mypy reads the types of all that infra/ takes from CDK, although it skips the services that nobody uses."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]


def imported(path: Path) -> Iterator[str]:
    """The modules of CDK that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "aws_cdk":
            yield from (f"aws_cdk.{name.name}" for name in node.names if name.name.startswith("aws_"))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("aws_cdk."):
            yield str(node.module)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.startswith("aws_cdk"))


def test_what_infra_imports_is_not_skipped() -> None:
    """A service that is used for the first time belongs into pyproject.toml, or whatever is done with it is right."""
    overrides = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["overrides"]
    read = {module for each in overrides if each.get("follow_imports") == "normal" for module in each["module"]}
    used = {module for path in (ROOT / "infra").glob("*.py") for module in imported(path)}
    assert len(used) > 10
    assert "aws_cdk" in read
    assert used <= read
    assert {f"aws_cdk.interfaces.{module.removeprefix('aws_cdk.')}" for module in used} <= read
