"""What results have in common: each is turned into plain values, and shown as a table in a notebook.

Invariants: PURE; no field is left out of `to_dict`; text in a table is escaped.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import Field, fields
from html import escape
from typing import Any, TypeVar, get_args

T = TypeVar("T")

CELL_CHARACTERS_MAX = 72
"""Maximum number of characters in a table's cell; longer ones are cut."""


class Record:
    """A result with fields."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """Returns all fields as values that JSON can hold. Bytes are hex digits, under the field's name with `_hex`."""
        found: dict[str, Any] = {}
        for one in _fields(self):
            value = getattr(self, one.name)
            is_bytes = one.type is bytes or bytes in get_args(one.type)
            found[f"{one.name}_hex" if is_bytes else one.name] = plain(value)
        return found

    def _repr_html_(self) -> str:
        """Returns a table of the fields."""
        shown = [(one.name, getattr(self, one.name)) for one in _fields(self) if one.repr]
        return table(["field", "value"], [[name, cell(value)] for name, value in shown])


class Tabular(ABC):
    """A result with rows."""

    __slots__ = ()

    @abstractmethod
    def _rows(self) -> Iterable[Record]: ...

    def to_dicts(self) -> list[dict[str, Any]]:
        """Returns each row as `to_dict` returns it, as a data frame takes them."""
        return [row.to_dict() for row in self._rows()]

    def _repr_html_(self) -> str:
        """Returns a table of the rows."""
        return table_of(list(self._rows()))


class Listing(Tabular, Record):
    """A result with fields and rows."""

    __slots__ = ()


class Rows(Tabular, tuple[T, ...]):
    """A tuple of results."""

    __slots__ = ()

    def _rows(self) -> Iterable[Record]:
        return [row for row in self if isinstance(row, Record)]


def _fields(record: Record) -> tuple[Field[Any], ...]:
    every: Any = record  # each record is a dataclass, which its base class can't say
    return fields(every)


def plain(value: Any) -> Any:
    """Returns a value as JSON can hold it. A mapping by anything but text becomes a list of its values."""
    if isinstance(value, Record):
        return value.to_dict()
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    if isinstance(value, Mapping):
        by_text = all(isinstance(key, str) for key in value)
        return (
            {key: plain(each) for key, each in value.items()} if by_text else [plain(each) for each in value.values()]
        )
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return value


def cell(value: Any) -> str:
    """Returns a value as short text."""
    if isinstance(value, bytes):
        text = value.decode(errors="replace")
        text = text if text.isprintable() and "\ufffd" not in text else value.hex()
    elif value is None:
        text = ""
    elif isinstance(value, (Record, Mapping, list, tuple)):
        text = str(plain(value))
    else:
        text = str(value)
    return text if len(text) <= CELL_CHARACTERS_MAX else text[: CELL_CHARACTERS_MAX - 1] + "…"


def table_of(rows: Sequence[Record]) -> str:
    """Returns the HTML table of rows of one type, with its fields as columns."""
    if not rows:
        return table(["no rows"], [])
    names = [one.name for one in _fields(rows[0]) if one.repr]
    return table(names, [[cell(getattr(row, name)) for name in names] for row in rows])


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns an HTML table of texts."""

    def line(tag: str, cells: Sequence[str]) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(one)}</{tag}>" for one in cells) + "</tr>"

    body = "".join(line("td", row) for row in rows)
    return f"<table><thead>{line('th', head)}</thead><tbody>{body}</tbody></table>"
