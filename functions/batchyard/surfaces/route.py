"""A route: which operation of which surface a method and a path ask for, and which function serves it.

Paths are API Gateway's: `{name}` is one segment, `{name+}` the rest of the path. Imports nothing, because the
infrastructure builds the API's resources from routes at synth.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Route:
    """`operation` is the name of a canonical operation (`create_batch`, `list_files` …); `function` the name of the
    function that serves it; `public` routes ask for no API key. `header_prefix`: this route is only for requests with a
    header whose name starts so; requests without one take another route of the same method and path."""

    method: str
    path: str
    function: str
    operation: str
    surface: str
    public: bool = False
    header_prefix: str | None = None
