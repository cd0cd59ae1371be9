"""The one DynamoDB table: rows in, rows out, conditional writes that say who won.

Conditions and expressions name attributes as `#name` and values as `:name`; both are filled in from the text, so a
reserved word is never a problem. Rows hold int, str, bytes, bool, None, list, dict, set[int] and set[str].
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.exceptions import ClientError

from batchyard.core.errors import ConditionFailed
from batchyard.core.json_types import Row

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_CONFLICT_ATTEMPTS = 20
_CONFLICT_PAUSE_SECONDS = 0.02
_LONGEST_CONFLICT_PAUSE_SECONDS = 1.28
"""The pause doubles with each attempt up to that, and each caller takes a random part of it: hundreds that change the
balance of one account at once would meet again and again (decision 0065 has the figures)."""
_PASSING = frozenset({"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"})
"""Reasons for which a transaction is cancelled, and which pass."""


class Key(NamedTuple):
    pk: str
    sk: str


@dataclass(frozen=True, slots=True)
class Put:
    """Write a whole row."""

    key: Key
    row: Row
    only_if_absent: bool = False


@dataclass(frozen=True, slots=True)
class Update:
    """Change some attributes of a row; the row is made if there is none, unless `condition` forbids."""

    key: Key
    set: Row = field(default_factory=dict)
    add: Row = field(default_factory=dict)
    remove: Sequence[str] = ()
    condition: str | None = None
    values: Row = field(default_factory=dict)
    append: Mapping[str, list[Any]] = field(default_factory=dict)
    """Attribute -> elements to append to that list."""
    default: Row = field(default_factory=dict)
    """Attribute -> value it takes only if it has none."""
    discard: Row = field(default_factory=dict)
    """Attribute -> elements to take out of that set."""


@dataclass(frozen=True, slots=True)
class Delete:
    key: Key


class Table:
    """Raises ConditionFailed if a condition does not hold; any other fault of DynamoDB is botocore's ClientError."""

    def __init__(self, client: DynamoDBClient, name: str) -> None:
        self._client = client
        self._name = name

    def get(self, key: Key, *, consistent: bool = False) -> Row | None:
        reply = self._client.get_item(TableName=self._name, Key=_key(key), ConsistentRead=consistent)
        return _row(reply["Item"]) if "Item" in reply else None

    def put(self, key: Key, row: Row, *, ttl: int | None = None) -> None:
        """`ttl`: unix second after which DynamoDB may delete the row."""
        if ttl is not None:
            row = row | {"ttl": ttl}
        _patiently(self._client.put_item, self._put(Put(key, row)))

    def update(
        self,
        key: Key,
        *,
        set: Row | None = None,
        add: Row | None = None,
        remove: Sequence[str] = (),
        condition: str | None = None,
        values: Row | None = None,
        append: Mapping[str, list[Any]] | None = None,
        default: Row | None = None,
        discard: Row | None = None,
    ) -> Row:
        """The row as it is after the write."""
        change = Update(
            key, set or {}, add or {}, remove, condition, values or {}, append or {}, default or {}, discard or {}
        )
        arguments = self._update(change) | {"ReturnValues": "ALL_NEW"}
        try:
            return _row(_patiently(self._client.update_item, arguments)["Attributes"])
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            row: Any = error.response.get("Item")
            what = f"{key.sk}: the condition of a write did not hold"
            raise ConditionFailed(what, _row(row) if row else None) from error

    def delete(self, key: Key) -> Row | None:
        """The row that was deleted, or None if there was none."""
        arguments = {"TableName": self._name, "Key": _key(key), "ReturnValues": "ALL_OLD"}
        reply = _patiently(self._client.delete_item, arguments)
        return _row(reply["Attributes"]) if reply.get("Attributes") else None

    def query(
        self,
        pk: str,
        *,
        prefix: str = "",
        after: str | None = None,
        limit: int | None = None,
        descending: bool = False,
        consistent: bool = False,
        where: tuple[str, str] | None = None,
    ) -> Iterator[Row]:
        """Rows of a partition by sort key, read as they are asked for. `after` is an exclusive sort key, `limit` the
        most rows yielded. `where`: only rows whose attribute of that name has that value; all are read and paid for."""
        arguments: Row = {
            "TableName": self._name,
            "KeyConditionExpression": "pk = :pk AND begins_with(sk, :sk)" if prefix else "pk = :pk",
            "ExpressionAttributeValues": {":pk": {"S": pk}} | ({":sk": {"S": prefix}} if prefix else {}),
            "ScanIndexForward": not descending,
            "ConsistentRead": consistent,
        }
        if after is not None:
            arguments["ExclusiveStartKey"] = _key(Key(pk, after))
        if where is not None:
            name, value = where
            arguments["FilterExpression"] = "#where = :where"
            arguments["ExpressionAttributeNames"] = {"#where": name}
            arguments["ExpressionAttributeValues"][":where"] = {"S": value}
        left = limit
        while left is None or left > 0:
            if left is not None:
                arguments["Limit"] = left
            reply = self._client.query(**arguments)
            for item in reply["Items"]:
                yield _row(item)
            if left is not None:
                left -= len(reply["Items"])
            if "LastEvaluatedKey" not in reply:
                return
            arguments["ExclusiveStartKey"] = reply["LastEvaluatedKey"]

    def transact(self, writes: Sequence[Put | Update | Delete]) -> None:
        """All of `writes` or none. `ConditionFailed` has the row whose condition was the first that did not hold."""
        actions = [self._action(write) for write in writes]
        try:
            _patiently(self._client.transact_write_items, {"TransactItems": actions})
        except ClientError as error:
            reasons = error.response.get("CancellationReasons", [])
            for write, reason in zip(writes, reasons, strict=False):
                if reason.get("Code") == "ConditionalCheckFailed":
                    row = _row(reason["Item"]) if reason.get("Item") else None
                    what = f"{write.key.sk}: the condition of a write did not hold"
                    raise ConditionFailed(what, row, row_key=write.key) from error
            raise

    def _action(self, write: Put | Update | Delete) -> Row:
        match write:
            case Put():
                return {"Put": self._put(write)}
            case Update():
                return {"Update": self._update(write)}
            case Delete():
                return {"Delete": {"TableName": self._name, "Key": _key(write.key)}}

    def _put(self, write: Put) -> Row:
        row = write.row | {"pk": write.key.pk, "sk": write.key.sk}
        arguments: Row = {"TableName": self._name, "Item": {n: _attribute(v) for n, v in row.items()}}
        if write.only_if_absent:
            arguments["ConditionExpression"] = "attribute_not_exists(pk)"
            arguments["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        return arguments

    def _update(self, write: Update) -> Row:
        sets = [f"#{name} = :{name}" for name in write.set]
        sets += [f"#{name} = if_not_exists(#{name}, :{name})" for name in write.default]
        sets += [f"#{name} = list_append(if_not_exists(#{name}, :empty), :{name})" for name in write.append]
        clauses = []
        if sets:
            clauses.append("SET " + ", ".join(sets))
        if write.add:
            clauses.append("ADD " + ", ".join(f"#{name} :{name}" for name in write.add))
        if write.discard:
            clauses.append("DELETE " + ", ".join(f"#{name} :{name}" for name in write.discard))
        if write.remove:
            clauses.append("REMOVE " + ", ".join(f"#{name}" for name in write.remove))
        expression = " ".join(clauses)
        values = {**write.set, **write.add, **write.append, **write.default, **write.discard, **write.values}
        if write.append:
            values["empty"] = []
        names = set(re.findall(r"#(\w+)", f"{expression} {write.condition or ''}"))
        arguments: Row = {
            "TableName": self._name,
            "Key": _key(write.key),
            "UpdateExpression": expression,
            "ExpressionAttributeNames": {f"#{name}": name for name in names},
        }
        if values:
            arguments["ExpressionAttributeValues"] = {f":{n}": _attribute(v) for n, v in values.items()}
        if write.condition:
            arguments["ConditionExpression"] = write.condition
            arguments["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        return arguments


def _patiently(call: Any, arguments: Row) -> Any:
    """`call(**arguments)`, repeated while another transaction holds one of its rows. A transaction is also repeated
    while it is throttled, because SDKs do not do that
    (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html).
    """
    for attempt in range(_CONFLICT_ATTEMPTS - 1):
        try:
            return call(**arguments)
        except ClientError as error:
            if not _will_pass(error):
                raise
            pause_after(attempt)
    return call(**arguments)


def pause_after(attempt: int) -> None:
    """Waits before a write that lost against others is repeated. `attempt`: counts from 0."""
    pause = min(_CONFLICT_PAUSE_SECONDS * 2**attempt, _LONGEST_CONFLICT_PAUSE_SECONDS)
    time.sleep(pause * random.random())  # noqa: S311  # no secret


def _will_pass(error: ClientError) -> bool:
    codes = {reason.get("Code") for reason in error.response.get("CancellationReasons", [])}
    if "ConditionalCheckFailed" in codes:
        return False
    return not _PASSING.isdisjoint(codes) or error.response["Error"]["Code"] == "TransactionConflictException"


def _key(key: Key) -> Row:
    return {"pk": {"S": key.pk}, "sk": {"S": key.sk}}


def _row(item: Mapping[str, Any]) -> Row:
    return {name: _value(attribute) for name, attribute in item.items()}


def _attribute(value: Any) -> Row:
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case int():
            return {"N": str(value)}
        case str():
            return {"S": str(value)}
        case bytes():
            return {"B": value}
        case list() | tuple():
            return {"L": [_attribute(element) for element in value]}
        case dict():
            return {"M": {name: _attribute(element) for name, element in value.items()}}
        case set() | frozenset():
            numbers = all(isinstance(element, int) for element in value)
            return {"NS" if numbers else "SS": [str(element) for element in sorted(value)]}
    raise TypeError(f"a row cannot hold {type(value).__name__}")


def _value(attribute: Row) -> Any:
    ((kind, value),) = attribute.items()
    match kind:
        case "N":
            return int(value)
        case "NULL":
            return None
        case "L":
            return [_value(element) for element in value]
        case "M":
            return _row(value)
        case "NS":
            return {int(element) for element in value}
        case "SS":
            return set(value)
    return value
