"""A route: which operation of which surface a method and a path ask for, and which function serves it.

Paths are API Gateway's: `{name}` is one segment, `{name+}` the rest of the path. Imports nothing, because the
infrastructure builds the API's resources from routes at synth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a request tells dialects on one path apart. `headers`: the names of its headers, in lower case;
    `parameters`: those of the path."""

    headers: Iterable[str] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Route:
    """`operation` is the name of a canonical operation (`create_batch`, `list_files` …); `function` the name of the
    function that serves it; `public` routes ask for no API key. `header_prefix`: this route is only for requests with a
    header whose name starts so; `claims`: only for those of which it is true. Other requests take another route of the
    same method and path."""

    method: str
    path: str
    function: str
    operation: str
    surface: str
    public: bool = False
    header_prefix: str | None = None
    claims: Callable[[Asked], bool] | None = None

    @property
    def is_plain(self) -> bool:
        """Whether it takes every request with its method and path that no other route takes."""
        return self.header_prefix is None and self.claims is None
