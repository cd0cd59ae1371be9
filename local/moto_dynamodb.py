"""What is changed in moto's DynamoDB. Answers stay what they were; a test compares them.

- Rows are written out by a general serializer that looks every attribute up under several names, which takes four
  fifths of a GetItem's time. They have their wire form already.
- Query sorts all rows of the table before it looks at the partition.
- A transaction copies the whole table for each of its writes, to be able to undo them.
"""

from __future__ import annotations

import base64
import copy
import threading
from collections.abc import Iterator
from typing import Any

import orjson
from moto.core.responses import ActionContext
from moto.dynamodb.models import DynamoDBBackend, Table
from moto.dynamodb.models.dynamo_type import DynamoType
from moto.dynamodb.responses import DynamoResult


def apply() -> None:
    DynamoResult.execute_result = _execute_rows
    Table.all_items = _items_of_the_partition
    Table.query = _query_one_partition
    Table.__deepcopy__ = lambda table, _: table
    DynamoDBBackend.transact_write_items = _transact


_ROW_OPERATIONS = {"GetItem", "PutItem", "UpdateItem", "DeleteItem", "Query"}
_execute_any = DynamoResult.execute_result


def _execute_rows(self: DynamoResult, context: ActionContext) -> Any:
    if context.operation_model.name not in _ROW_OPERATIONS or not isinstance(self.result, dict):
        return _execute_any(self, context)
    rows = self.result
    answer = {name: rows[name] for name in context.operation_model.output_shape.members if rows.get(name) is not None}
    return 200, {"Content-Type": "application/x-amz-json-1.0"}, orjson.dumps(answer, default=_wire_form).decode()


def _wire_form(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, set | frozenset):
        return sorted(value)
    if hasattr(value, "value"):  # moto's Binary
        return _wire_form(value.value)
    raise TypeError(f"DynamoDB has no {type(value).__name__}")


_all_items = Table.all_items
_query = Table.query
_transact_unguarded = DynamoDBBackend.transact_write_items
_partition = threading.local()


def _query_one_partition(self: Table, hash_key: Any, *args: Any, **kwargs: Any) -> Any:
    index_name = kwargs.get("index_name", args[6] if len(args) > 6 else None)
    _partition.key = None if index_name else hash_key
    try:
        return _query(self, hash_key, *args, **kwargs)
    finally:
        _partition.key = None


def _items_of_the_partition(self: Table) -> list[Any]:
    key = getattr(_partition, "key", None)
    if key is None:
        return _all_items(self)
    found = self.items.get(key)
    if found is None:
        return []
    return list(found.values()) if self.range_key_attr else [found]


def _transact(self: DynamoDBBackend, transact_items: list[dict[str, Any]]) -> None:
    """The copies that moto makes of its tables are the tables themselves here; the rows it writes are put back."""
    before = [row for item in transact_items for write in item.values() for row in _row_before(self, write)]
    try:
        _transact_unguarded(self, transact_items)
    except Exception:
        for table, hash_key, range_key, row in before:
            if row is None:
                table.delete_item(hash_key, range_key)
            elif range_key is None:
                table.items[hash_key] = row
            else:
                table.items[hash_key][range_key] = row
        raise


def _row_before(backend: DynamoDBBackend, write: dict[str, Any]) -> Iterator[tuple[Table, Any, Any, Any]]:
    table = backend.tables.get(write.get("TableName"))
    key = write.get("Key") or write.get("Item") or {}
    if table is None or table.hash_key_attr not in key:
        return
    hash_key = DynamoType(key[table.hash_key_attr])
    range_key = DynamoType(key[table.range_key_attr]) if table.range_key_attr in key else None
    if range_key is None and table.range_key_attr is not None:
        return
    yield table, hash_key, range_key, copy.deepcopy(table.get_item(hash_key, range_key))
