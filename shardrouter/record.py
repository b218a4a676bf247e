"""One row of an answer, as an application reads it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, overload

from nodes.protocol import Value

__all__ = ["Record"]


class Record(Sequence[Value]):
    """One row: by position, by column name, iterable over its values, as asyncpg's Record."""

    __slots__ = ("_columns", "_values")

    def __init__(self, columns: dict[str, int], values: tuple[Value, ...]) -> None:
        self._columns = columns  # name -> position, shared by all rows of an answer
        self._values = values

    @overload
    def __getitem__(self, key: int | str) -> Any: ...
    @overload
    def __getitem__(self, key: slice) -> tuple[Any, ...]: ...
    def __getitem__(self, key: int | str | slice) -> Any:
        if isinstance(key, str):
            return self._values[self._columns[key]]
        return self._values[key]

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)

    def __contains__(self, name: object) -> bool:
        """Whether there is a column of that name, as in asyncpg."""
        return name in self._columns

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Record):
            return self._values == other._values
        return self._values == other

    def __hash__(self) -> int:
        return hash(self._values)

    def __repr__(self) -> str:
        return f"<Record {' '.join(f'{name}={value!r}' for name, value in self.items())}>"

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a column, `default` if there is none of that name."""
        return self._values[self._columns[name]] if name in self._columns else default

    def keys(self) -> Iterator[str]:
        return iter(self._columns)

    def values(self) -> Iterator[Any]:
        return iter(self._values)

    def items(self) -> Iterator[tuple[str, Any]]:
        return ((name, self._values[index]) for name, index in self._columns.items())
