"""A witness: the smallest request that a lane takes, sent to find out whether the lane is well.

An item that fails again and again proves nothing about its lane, and a lane that fails everybody proves nothing about
the items. What a witness comes to tells the two apart: any answer that is no trouble, a refusal too, shows that the
provider is there. It costs a few tokens at most, on the bill of whoever owns the provider key, and no item is put at
risk for it. An image would cost a cent, so that the witness for one asks for what is refused.
"""

from __future__ import annotations

import orjson

from batchyard.core.json_types import JsonObject

_TEXT = "."
_BODIES: dict[str, JsonObject] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": _TEXT}], "max_tokens": 1},
    "/v1/completions": {"prompt": _TEXT, "max_tokens": 1},
    "/v1/responses": {"input": _TEXT, "max_output_tokens": 16},
    "/v1/embeddings": {"input": _TEXT},
    "/v1/moderations": {"input": _TEXT},
    "/v1/images/generations": {"prompt": _TEXT, "size": "1x1"},
    "/v1/images/edits": {"prompt": _TEXT, "images": []},
    "/v1/messages": {"messages": [{"role": "user", "content": _TEXT}], "max_tokens": 1},
}


def witness_body(endpoint: str, model: str) -> bytes:
    """The request body for one of `core.providers.ENDPOINTS`."""
    return orjson.dumps({"model": model} | _BODIES[endpoint])
