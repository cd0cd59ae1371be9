"""Lambda functions that another function starts without waiting for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from batchyard.core.json_types import JsonObject

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient


class Functions:
    def __init__(self, client: LambdaClient) -> None:
        self._client = client

    def start(self, name: str, payload: JsonObject) -> None:
        """Asks Lambda to run the function `name` with `payload`. It runs soon, and again if it fails."""
        self._client.invoke(FunctionName=name, InvocationType="Event", Payload=orjson.dumps(payload))
