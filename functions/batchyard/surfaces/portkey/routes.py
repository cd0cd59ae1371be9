"""The OpenAI surface's paths, for requests that carry one of Portkey's headers."""

from __future__ import annotations

from dataclasses import replace

from batchyard.surfaces.openai.routes import ROUTES as OPENAI_ROUTES

HEADER_PREFIX = "x-portkey-"

ROUTES = tuple(
    replace(route, surface="portkey", header_prefix=HEADER_PREFIX) for route in OPENAI_ROUTES if not route.public
)
