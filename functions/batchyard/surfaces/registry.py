"""Every surface and every route. Adding a surface is a folder beside this file and a line in each of two tables here.

The infrastructure and the local gateway build the API from `ROUTES`, so importing this module loads route tables
only; `surface(name)` loads the rest of a surface when a request or a batch asks for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from batchyard.surfaces.kushrouter.routes import ROUTES as KUSHROUTER_ROUTES
from batchyard.surfaces.openai.routes import ROUTES as OPENAI_ROUTES
from batchyard.surfaces.portkey.routes import ROUTES as PORTKEY_ROUTES
from batchyard.surfaces.route import Route

if TYPE_CHECKING:
    from batchyard.surfaces.surface import Surface

ROUTES: tuple[Route, ...] = (*OPENAI_ROUTES, *PORTKEY_ROUTES, *KUSHROUTER_ROUTES)

_MODULES = {
    "openai": "batchyard.surfaces.openai.surface",
    "portkey": "batchyard.surfaces.portkey.surface",
    "kushrouter": "batchyard.surfaces.kushrouter.surface",
}

_PLAIN = {(route.method, route.path): route for route in ROUTES if route.header_prefix is None}
_MARKED = [(route.header_prefix, route) for route in ROUTES if route.header_prefix is not None]


def find(method: str, path: str, headers: Iterable[str] = ()) -> Route | None:
    """The route of a method and an API Gateway resource path such as `/v1/files/{file_id}`. `headers`: the names of
    the request's headers, in lower case."""
    names = tuple(headers)
    for prefix, route in _MARKED:
        if (route.method, route.path) == (method, path) and any(name.startswith(prefix) for name in names):
            return route
    return _PLAIN.get((method, path))


@cache
def surface(name: str) -> Surface:
    """The surface called `name` (KeyError: there is none). Its module has it as `SURFACE`."""
    found: Surface = import_module(_MODULES[name]).SURFACE
    return found
