"""Which function a request goes to: the paths of the API's methods as a tree of segments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from local.deployment.declared import Method


@dataclass(frozen=True, slots=True)
class Route:
    """`resource` is the path with its placeholders, `parameters` are their values."""

    resource: str
    function: str
    parameters: Mapping[str, str]


@dataclass(slots=True)
class _Node:
    """One path segment. `named` is the child for a {placeholder}, `rest` the one for a {proxy+}."""

    children: dict[str, _Node] = field(default_factory=dict)
    named: tuple[str, _Node] | None = None
    rest: tuple[str, _Node] | None = None
    resource: str = ""
    functions: dict[str, str] = field(default_factory=dict)
    """HTTP method (or ANY) -> function."""


class Routes:
    def __init__(self, methods: Iterable[Method]) -> None:
        self._root = _Node()
        for method in methods:
            self._add(method)

    def find(self, method: str, path: str) -> Route | None:
        """A literal segment is preferred to a {placeholder}, and that to {proxy+}."""
        segments = [] if path == "/" else path.split("/")[1:]
        if len(segments) > 1 and segments[-1] == "":
            segments.pop()
        found = _walk(self._root, segments)
        if found is None:
            return None
        node, parameters = found
        function = node.functions.get(method) or node.functions.get("ANY")
        return None if function is None else Route(node.resource, function, parameters)

    def _add(self, method: Method) -> None:
        node = self._root
        for segment in method.resource.strip("/").split("/") if method.resource != "/" else []:
            name = segment.strip("{}+")
            if segment.endswith("+}"):
                node.rest = node.rest or (name, _Node())
                node = node.rest[1]
            elif segment.startswith("{"):
                node.named = node.named or (name, _Node())
                node = node.named[1]
            else:
                node = node.children.setdefault(segment, _Node())
        node.resource = method.resource
        node.functions[method.method] = method.function


def _walk(node: _Node, segments: list[str]) -> tuple[_Node, dict[str, str]] | None:
    if not segments:
        return (node, {}) if node.functions else None
    first, rest = segments[0], segments[1:]
    if first in node.children and (found := _walk(node.children[first], rest)) is not None:
        return found
    if node.named is not None and first and (found := _walk(node.named[1], rest)) is not None:
        return found[0], {node.named[0]: unquote(first)} | found[1]
    if node.rest is not None and node.rest[1].functions:
        return node.rest[1], {node.rest[0]: unquote("/".join(segments))}
    return None
