"""Every dialect and every route. Adding a dialect is a folder beside this file and an entry in `DIALECTS`.

The infrastructure and the local gateway build the API from `ROUTES`, so importing this module loads routes only;
`surface(name)` loads the rest of a dialect when a request or a batch asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchyard.surfaces.anthropic.routes import ROUTES as ANTHROPIC_ROUTES
from batchyard.surfaces.batchrouter.routes import ROUTES as BATCHROUTER_ROUTES
from batchyard.surfaces.dashboard.routes import ROUTES as DASHBOARD_ROUTES
from batchyard.surfaces.kushrouter.routes import ROUTES as KUSHROUTER_ROUTES
from batchyard.surfaces.openai.routes import ROUTES as OPENAI_ROUTES
from batchyard.surfaces.portkey.routes import ROUTES as PORTKEY_ROUTES
from batchyard.surfaces.route import Asked, Route

if TYPE_CHECKING:
    from batchyard.surfaces.surface import Surface


@dataclass(frozen=True, slots=True)
class Dialect:
    """`load` imports the surface and returns it."""

    routes: tuple[Route, ...]
    load: Callable[[], Surface]


def _openai() -> Surface:
    from batchyard.surfaces.openai.surface import SURFACE

    return SURFACE


def _portkey() -> Surface:
    from batchyard.surfaces.portkey.surface import SURFACE

    return SURFACE


def _kushrouter() -> Surface:
    from batchyard.surfaces.kushrouter.surface import SURFACE

    return SURFACE


def _anthropic() -> Surface:
    from batchyard.surfaces.anthropic.surface import SURFACE

    return SURFACE


def _batchrouter() -> Surface:
    from batchyard.surfaces.batchrouter.surface import SURFACE

    return SURFACE


def _dashboard() -> Surface:
    from batchyard.surfaces.dashboard.surface import SURFACE

    return SURFACE


DIALECTS = {
    "openai": Dialect(OPENAI_ROUTES, _openai),
    "portkey": Dialect(PORTKEY_ROUTES, _portkey),
    "kushrouter": Dialect(KUSHROUTER_ROUTES, _kushrouter),
    "anthropic": Dialect(ANTHROPIC_ROUTES, _anthropic),
    "batchrouter": Dialect(BATCHROUTER_ROUTES, _batchrouter),
    "dashboard": Dialect(DASHBOARD_ROUTES, _dashboard),
}


def routes() -> Iterator[Route]:
    """Every route of every dialect."""
    for dialect in DIALECTS.values():
        yield from dialect.routes


ROUTES = tuple(routes())


NOTHING_ASKED = Asked()


def find(method: str, path: str, asked: Asked = NOTHING_ASKED) -> Route | None:
    """The route of a method and an API Gateway resource path such as `/v1/files/{file_id}`. If several dialects share
    it, a route that is marked by a header comes first, then one that claims the request, then the one for all
    others."""
    candidates = [route for route in routes() if (route.method, route.path) == (method, path)]
    names = tuple(asked.headers)
    for route in candidates:
        if route.header_prefix is not None and any(name.startswith(route.header_prefix) for name in names):
            return route
    for route in candidates:
        if route.claims is not None and route.claims(asked):
            return route
    return next((route for route in candidates if route.is_plain), None)


def surface(name: str) -> Surface:
    """The surface called `name`. Raises KeyError if there is none."""
    return DIALECTS[name].load()
