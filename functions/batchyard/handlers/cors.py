"""What lets pages of other origins call the API, if the deployment names them: CORS, https://fetch.spec.whatwg.org.

API keys travel in headers and there are no cookies, so that nothing is sent along that a page does not have itself.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace

from batchyard.core.json_types import JsonObject
from batchyard.surfaces.http import Reply

ANY_ORIGIN = "*"
_METHODS = "GET, HEAD, POST, DELETE"
_KEPT_SECONDS = "7200"
"""As long as Chromium keeps the answer to a preflight at most."""
_EXPOSED = (
    "x-request-id, request-id, retry-after, location, content-disposition, x-should-retry, x-ratelimit-limit, "
    "x-ratelimit-remaining, x-ratelimit-reset, x-ratelimit-limit-requests, x-ratelimit-remaining-requests, "
    "anthropic-ratelimit-requests-limit, anthropic-ratelimit-requests-remaining, anthropic-ratelimit-requests-reset"
)
_HEADER_NAMES = re.compile(r"[\w!#$%&'*+.^`|~-]+(?:\s*,\s*[\w!#$%&'*+.^`|~-]+)*", re.ASCII)


def shared(reply: Reply, event: JsonObject, origins: Collection[str]) -> Reply:
    """The reply with what a browser wants to read before it gives the reply to a page of one of `origins`; as it is if
    the request does not come from there."""
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    origin = headers.get("origin", "")
    if not origin or (ANY_ORIGIN not in origins and origin not in origins):
        return reply
    allowed = {
        "access-control-allow-origin": ANY_ORIGIN if ANY_ORIGIN in origins else origin,
        "access-control-expose-headers": _EXPOSED,
        "vary": "origin",
    }
    if event["httpMethod"] == "OPTIONS":
        wanted = headers.get("access-control-request-headers", "").strip()
        allowed |= {"access-control-allow-methods": _METHODS, "access-control-max-age": _KEPT_SECONDS}
        if _HEADER_NAMES.fullmatch(wanted):
            allowed["access-control-allow-headers"] = wanted
    return replace(reply, headers={**reply.headers, **allowed})
