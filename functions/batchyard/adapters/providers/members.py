"""Members of a JSON object that are taken one by one, so that none is overlooked: what is left over is untranslatable.

Translating an object means: make its Members, take what can be expressed, refuse what cannot, and call `end`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from batchyard.adapters.providers.translator import Untranslatable


class Members:
    """Of the object at `path` of the item's body; the body itself has the path "". A member that is null counts as not
    there. `vendor`: who cannot do what is left over."""

    def __init__(self, document: object, path: str, vendor: str) -> None:
        if not isinstance(document, dict):
            raise Untranslatable(f"'{path or 'body'}' must be an object.", path or None)
        self._left: dict[str, Any] = {name: value for name, value in document.items() if value is not None}
        self._path = path
        self.vendor = vendor

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def path_of(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name

    def take(self, name: str) -> Any:
        """The member, or None if it is not there."""
        return self._left.pop(name, None)

    def text(self, name: str) -> str | None:
        value = self.take(name)
        if value is not None and not isinstance(value, str):
            raise self.wrong(name, "must be a string")
        return value

    def needed_text(self, name: str) -> str:
        value = self.text(name)
        if value is None:
            raise self.wrong(name, "is missing")
        return value

    def flag(self, name: str) -> bool | None:
        value = self.take(name)
        if value is not None and not isinstance(value, bool):
            raise self.wrong(name, "must be true or false")
        return value

    def schema(self, name: str) -> dict[str, Any]:
        """A member that goes on as it is, whatever is in it."""
        value = self.take(name)
        if not isinstance(value, dict):
            raise self.wrong(name, "must be a JSON schema")
        return value

    def items(self, name: str) -> list[Any]:
        """The elements of an array; none if it is not there."""
        value = self.take(name)
        if value is not None and not isinstance(value, list):
            raise self.wrong(name, "must be an array")
        return value or []

    def inside(self, name: str) -> Members:
        """The members of the object that is the member `name`, which must be there."""
        return Members(self._left.pop(name, None), self.path_of(name), self.vendor)

    def each(self, name: str) -> Iterator[Members]:
        """The members of each object in the array `name`."""
        for number, element in enumerate(self.items(name)):
            yield Members(element, f"{self.path_of(name)}[{number}]", self.vendor)

    def allow(self, name: str, *values: object) -> None:
        """Take the member if it has one of `values`, which ask for nothing. Raises Untranslatable otherwise."""
        value = self.take(name)
        if value is not None and not any(value == each and type(value) is type(each) for each in values):
            raise self.unsupported(name)

    def ignore(self, *names: str) -> None:
        """Take members that cannot change an answer (docs/providers.md lists them)."""
        for name in names:
            self._left.pop(name, None)

    def end(self) -> None:
        """Raises Untranslatable if any member is left."""
        for name in self._left:
            raise self.unsupported(name)

    def wrong(self, name: str, what: str) -> Untranslatable:
        """`what`: "must be a string"."""
        return Untranslatable(f"'{self.path_of(name)}' {what}.", self.path_of(name))

    def unsupported(self, name: str, hint: str = "Remove it, or use a model of another provider.") -> Untranslatable:
        """The vendor has nothing like the member, or not with this value."""
        message = f"'{self.path_of(name)}' as it is here cannot be expressed for {self.vendor}. {hint}"
        return Untranslatable(message, self.path_of(name))
