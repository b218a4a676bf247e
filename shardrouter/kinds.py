"""What a type is.

A type is what PostgreSQL calls it, its category (pg_type.typcategory: resolving an operator asks
for it), and its stored form: what SQLite keeps and compares (docs/language.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["NO_MODIFIER", "Type"]

NO_MODIFIER: Final = -1


@dataclass(frozen=True, eq=False)
class Type:
    """A PostgreSQL type; each exists once and is compared by identity.

    `short` is pg_type's name for it, which functions' names and unnamed columns show.
    """

    name: str
    short: str
    oid: int
    category: str
    sqlite: str  # of its stored form: INTEGER, REAL, TEXT, BLOB
    preferred: bool = False  # of its category
    collation: str = ""  # in which SQLite compares the stored form; empty: its own
    size: int = -1  # bytes, as pg_type.typlen says; -1: varies
    low: int = 0  # range of an integer type
    high: int = 0
    element: Type | None = None  # of an array
    is_named: bool = False  # an oid whose text is the name of what it numbers
    counts_from: int = 1  # the first subscript of an array
    definition: str = ""
    """Of a type that a client has defined: what the catalog says of a column of it."""
    labels: str = ""
    """Of an enumeration: a json of its values in their stored forms, in their order."""

    @property
    def is_own(self) -> bool:
        """Whether a client has defined it, or what it is an array of."""
        return bool(self.definition)

    @property
    def in_catalog(self) -> str:
        """What the catalog calls the type of a column."""
        return self.definition or self.name

    @property
    def function_name(self) -> str:
        """What the node's functions call it: `pg_cast_int4`, `pg_cast_array_int4`."""
        return self.short if self.element is None else f"array_{self.element.short}"

    @property
    def column(self) -> str:
        """The type of a column of SQLite, with its collation. One of type REAL keeps 5.0 as the
        integer 5, and -0.0 as 0, without its sign; one of type ANY keeps what it is given."""
        declared = "ANY" if self.sqlite == "REAL" else self.sqlite
        return f"{declared} COLLATE {self.collation}" if self.collation else declared
