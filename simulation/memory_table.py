"""The table in memory, for tests that make millions of calls. It passes the contract tests of `Table`
(tests/adapters/test_stand_ins.py)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from threading import RLock
from typing import Any, cast

from batchyard.adapters.aws import table as real
from batchyard.adapters.aws.shards import Shards
from batchyard.adapters.aws.table import Delete, Key, Put, Table, Update
from batchyard.core.errors import ConditionFailed
from batchyard.core.json_types import Row


class MemoryTable:
    """Stands for `Table`. It makes one call at a time, as DynamoDB does for a row."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, Row]] = {}
        self._lock = RLock()

    def get(self, key: Key, *, consistent: bool = False) -> Row | None:
        with self._lock:
            row = self._rows.get(key.pk, {}).get(key.sk)
            return None if row is None else _copy(row)

    def put(self, key: Key, row: Row, *, ttl: int | None = None) -> None:
        self.transact([Put(key, row if ttl is None else row | {"ttl": ttl})])

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
        change = Update(
            key, set or {}, add or {}, remove, condition, values or {}, append or {}, default or {}, discard or {}
        )
        with self._lock:
            self.transact([change])
            return _copy(self._rows[key.pk][key.sk])

    def delete(self, key: Key) -> Row | None:
        with self._lock:
            found = self.get(key)
            self.transact([Delete(key)])
            return found

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
        with self._lock:
            keys = sorted(self._rows.get(pk, {}), reverse=descending)
            if after is not None:
                keys = [sk for sk in keys if (sk < after if descending else sk > after)]
            rows = [_copy(self._rows[pk][sk]) for sk in keys if sk.startswith(prefix)]
        if where is not None:
            name, value = where
            rows = [row for row in rows if row.get(name) == value]
        yield from rows[:limit]

    def transact(self, writes: Sequence[Put | Update | Delete]) -> None:
        assert len({write.key for write in writes}) == len(writes), "DynamoDB takes a row once in a transaction"
        with self._lock:
            for write in writes:
                row = self.get(write.key)
                if not _holds(write, row):
                    what = f"{write.key.sk}: the condition of a write did not hold"
                    raise ConditionFailed(what, row, row_key=write.key)
            for write in writes:
                self._apply(write)

    def _apply(self, write: Put | Update | Delete) -> None:
        rows = self._rows.setdefault(write.key.pk, {})
        match write:
            case Put():
                rows[write.key.sk] = _copy(write.row | {"pk": write.key.pk, "sk": write.key.sk})
            case Delete():
                rows.pop(write.key.sk, None)
            case Update():
                old = rows.get(write.key.sk, {"pk": write.key.pk, "sk": write.key.sk})
                rows[write.key.sk] = _copy(_changed(old, write))


def memory_shards() -> Shards:
    """The rows of shards in a table of their own, with the conditions that the adapter writes."""
    return Shards(cast("Table", MemoryTable()))


def _changed(old: Row, write: Update) -> Row:
    """Every clause of an update reads the row as it was."""
    new = old | write.set
    new |= {name: old.get(name, value) for name, value in write.default.items()}
    new |= {name: [*old.get(name, []), *more] for name, more in write.append.items()}
    for name, more in write.add.items():
        new[name] = old.get(name, 0) + more if isinstance(more, int) else old.get(name, set()) | more
    new |= {name: old.get(name, set()) - some for name, some in write.discard.items()}
    emptied = {name for name in write.discard if not new[name]}
    return {name: value for name, value in new.items() if name not in write.remove and name not in emptied}


def _copy(row: Row) -> Row:
    """The row as it comes back from DynamoDB."""
    return real._row({name: real._attribute(value) for name, value in row.items()})


def _holds(write: Put | Update | Delete, row: Row | None) -> bool:
    match write:
        case Put(only_if_absent=True):
            return row is None
        case Update(condition=str(text)):
            values = {**write.set, **write.add, **write.append, **write.default, **write.discard, **write.values}
            return _condition(text)(row or {}, values)
    return True


@dataclass(frozen=True)
class _Operand:
    """An attribute or a value in a condition. What is missing, or of another type, compares to nothing."""

    value: Any = None
    exists: bool = True

    def compares(self, other: _Operand) -> bool:
        return self.exists and other.exists and _kind(self.value) is _kind(other.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Operand) and self.compares(other) and self.value == other.value

    def __lt__(self, other: _Operand) -> bool:
        return self.compares(other) and self.value < other.value

    def __ge__(self, other: _Operand) -> bool:
        return self.compares(other) and self.value >= other.value

    def contains(self, other: _Operand) -> bool:
        return self.exists and other.value in self.value

    @property
    def size(self) -> _Operand:
        return _Operand(len(self.value)) if self.exists else self


def _kind(value: Any) -> type:
    return str if isinstance(value, str) else type(value)


_TOKENS = (
    (r" IN \(([^)]*)\)", r" in (\1,)"),
    (r"attribute_not_exists\(#?(\w+)\)", r"(not a('\1').exists)"),
    (r"attribute_exists\(#?(\w+)\)", r"(a('\1').exists)"),
    (r"contains\(#(\w+), :(\w+)\)", r"(a('\1').contains(v('\2')))"),
    (r"size\(#(\w+)\)", r"(a('\1').size)"),
    (r"#(\w+)", r"a('\1')"),
    (r":(\w+)", r"v('\1')"),
    (r" IN \(([^)]*\))\)", r" in (\1,)"),
    (r" = ", " == "),
    (r"\bAND\b", "and"),
    (r"\bOR\b", "or"),
    (r"\bNOT\b", "not"),
)


@cache
def _condition(text: str) -> Callable[[Row, Row], bool]:
    """`text` in Python: `a` finds an attribute of the row, `v` a value of the write."""
    python = text
    for pattern, becomes in _TOKENS:
        python = re.sub(pattern, becomes, python)
    code = compile(python, text, "eval")

    def holds(row: Row, values: Row) -> bool:
        def attribute(name: str) -> _Operand:
            return _Operand(row[name]) if name in row else _Operand(exists=False)

        return bool(eval(code, {"a": attribute, "v": lambda name: _Operand(values[name])}))

    return holds
