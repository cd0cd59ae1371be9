"""Puts into the wheel those rooms of the server's code that the command line shares with it: `check` is the server's
own rules, and operators' commands read rows as the server does."""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SERVER = "../functions/batchyard"
SHARED = (
    "__init__.py",
    "core",
    "content",
    "surfaces",
    "adapters/__init__.py",
    "adapters/aws",
)


class ServerModules(BuildHookInterface):  # type: ignore[type-arg]
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """An editable wheel (`version` says so) needs none of them."""
        if version == "standard":
            build_data["force_include"] |= {f"{SERVER}/{name}": f"batchyard/{name}" for name in SHARED}
