"""Counts the calls of a stand-in as the AWS calls that the real adapter would make."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

TABLE_CALLS = {
    "get": "GetItem",
    "put": "PutItem",
    "update": "UpdateItem",
    "delete": "DeleteItem",
    "query": "Query",
    "transact": "TransactWriteItems",
}
OBJECT_CALLS = {"get": "GetObject", "put": "PutObject"}


class Counted:
    """Behaves as `inner`. `calls`: (service, operation) -> calls so far; may be shared."""

    def __init__(
        self, inner: object, service: str, operations: Mapping[str, str], calls: Counter[tuple[str, str]]
    ) -> None:
        self._inner = inner
        self._service = service
        self._operations = operations
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        if name in self._operations:
            self._calls[self._service, self._operations[name]] += 1
        return getattr(self._inner, name)
