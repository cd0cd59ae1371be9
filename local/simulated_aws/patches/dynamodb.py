"""What is changed in moto's DynamoDB. The answers do not change: tests/local_cloud/test_moto_patches.py compares
them."""

from __future__ import annotations

import base64
import copy
import threading
from collections import deque
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import orjson
from moto.core.responses import ActionContext
from moto.dynamodb.comparisons import ConditionExpressionParser
from moto.dynamodb.models import DynamoDBBackend, Table
from moto.dynamodb.models.dynamo_type import DynamoType, Item
from moto.dynamodb.responses import DynamoResult

_CONDITIONS = 1_000
"""So many are kept in words. Functions send the same few again and again."""
_ROW_OPERATIONS = {"GetItem", "PutItem", "UpdateItem", "DeleteItem", "Query"}


def write_rows_without_the_serializer() -> None:
    """Speed only (moto 5.2.5): moto writes rows with a general serializer that looks every attribute up under several
    names, which takes four fifths of a GetItem's time. Its rows have their wire form already:
    https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_AttributeValue.html"""
    general = DynamoResult.execute_result

    def execute(self: DynamoResult, context: ActionContext) -> Any:
        rows = self.result
        if context.operation_model.name not in _ROW_OPERATIONS or not isinstance(rows, dict):
            return general(self, context)
        shape = context.operation_model.output_shape
        members = shape.members if shape is not None else {}
        answer = {name: rows[name] for name in members if rows.get(name) is not None}
        return 200, {"Content-Type": "application/x-amz-json-1.0"}, orjson.dumps(answer, default=_wire_form).decode()

    DynamoResult.execute_result = execute


def _wire_form(value: object) -> object:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, set | frozenset):
        return sorted(value)
    if hasattr(value, "value"):  # moto's Binary
        return _wire_form(value.value)
    raise TypeError(f"DynamoDB has no {type(value).__name__}")


def query_one_partition() -> None:
    """Speed only (moto 5.2.5): Query sorts all rows of the table before it looks at the partition. In AWS it reads the
    rows of one partition: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Query.html"""
    query, all_items = Table.query, Table.all_items
    asked = threading.local()

    def query_partition(self: Table, hash_key: Any, *arguments: Any, **named: Any) -> Any:
        index_name = named.get("index_name", arguments[6] if len(arguments) > 6 else None)
        asked.partition = None if index_name else hash_key
        try:
            return query(self, hash_key, *arguments, **named)
        finally:
            asked.partition = None

    def items_of_the_partition(self: Table) -> list[Item]:
        partition = getattr(asked, "partition", None)
        if partition is None:
            rows: list[Item] = all_items(self)
            return rows
        found: Any = self.items.get(partition)
        if found is None:
            return []
        return list(found.values()) if self.range_key_attr else [found]

    Table.query, Table.all_items = query_partition, items_of_the_partition


def undo_transactions_by_row() -> None:
    """Speed only (moto 5.2.5): a transaction copies the whole table for each of its writes, to be able to undo them.
    Here the copies are the tables themselves, and the rows that a failed transaction wrote are put back:
    https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html"""
    transact = DynamoDBBackend.transact_write_items

    def transact_and_undo(self: DynamoDBBackend, transact_items: list[dict[str, Any]]) -> None:
        before = [saved for item in transact_items for write in item.values() for saved in _row_before(self, write)]
        try:
            transact(self, transact_items)
        except Exception:
            for saved in before:
                saved.put_back()
            raise

    Table.__deepcopy__ = lambda table, _: table
    DynamoDBBackend.transact_write_items = transact_and_undo


def split_conditions_once() -> None:
    """Speed only (moto 5.2.5): a write splits its condition into words twice, and looks six patterns up for each word.
    In AWS, too, only the values differ between two writes with one condition:
    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.ConditionExpressions.html"""
    split = ConditionExpressionParser._lex_condition_expression

    @lru_cache(_CONDITIONS)
    def words_of(condition: str) -> tuple[Any, ...]:
        return tuple(split(ConditionExpressionParser(condition, None, None)))

    ConditionExpressionParser._lex_condition_expression = lambda parser: deque(words_of(parser.condition_expression))


class _SavedRow(NamedTuple):
    table: Table
    hash_key: DynamoType
    range_key: DynamoType | None
    row: Item | None

    def put_back(self) -> None:
        if self.row is None:
            self.table.delete_item(self.hash_key, self.range_key)
        elif self.range_key is None:
            rows: dict[Any, Any] = self.table.items
            rows[self.hash_key] = self.row
        else:
            self.table.items[self.hash_key][self.range_key] = self.row


def _row_before(backend: DynamoDBBackend, write: dict[str, Any]) -> Iterator[_SavedRow]:
    """The row that a write of a transaction is about, as it is before; nothing if the write is not valid."""
    table = backend.tables.get(str(write.get("TableName")))
    key = write.get("Key") or write.get("Item") or {}
    if table is None or table.hash_key_attr not in key:
        return
    hash_key = DynamoType(key[table.hash_key_attr])
    range_key = DynamoType(key[table.range_key_attr]) if table.range_key_attr in key else None
    if range_key is None and table.range_key_attr is not None:
        return
    yield _SavedRow(table, hash_key, range_key, copy.deepcopy(table.get_item(hash_key, range_key)))
