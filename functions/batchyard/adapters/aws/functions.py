"""Lambda functions that another function starts without waiting for them."""

from __future__ import annotations

from typing import Any

import orjson


class Functions:
    def __init__(self, client: Any) -> None:
        self._client = client

    def start(self, name: str, payload: dict[str, Any]) -> None:
        """Have the function `name` run with `payload`, soon; Lambda repeats it when it fails."""
        self._client.invoke(FunctionName=name, InvocationType="Event", Payload=orjson.dumps(payload))
