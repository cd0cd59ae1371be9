"""Writes the OpenAPI document to docs/openapi.json, for people, and into the deployed package, which serves it.

`--check` writes nothing and fails when either file differs from what the code gives.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import orjson

from batchyard.surfaces.openapi import document

ROOT = Path(__file__).parents[1]
TARGETS = (ROOT / "docs" / "openapi.json", ROOT / "functions" / "batchyard" / "openapi.json")


def rendered() -> bytes:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return orjson.dumps(document(version), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def main(arguments: list[str]) -> int:
    text = rendered()
    if "--check" in arguments:
        stale = [target for target in TARGETS if not target.exists() or target.read_bytes() != text]
        for target in stale:
            print(f"{target.relative_to(ROOT)} is stale: run `python -m tools.write_openapi`")
        return 1 if stale else 0
    for target in TARGETS:
        target.write_bytes(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
