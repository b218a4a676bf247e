"""Constants that cannot be computed, where another constant decides whether anybody has to.

PostgreSQL leaves out what a constant has decided before it computes the rest: `1/0` behind
`coalesce(1, ...)` is nobody's error; behind a column it is one of the whole statement. Here all
constants are computed while planning. So where the two might differ the statement is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass

from shardrouter import syntax
from shardrouter.errors import NotSupported, StatementError

__all__ = ["names_columns", "refuse_if_skipped"]

_COMPUTED = ("22003", "22008", "22012", "22023", "2201E", "2201F", "22011")
"""What only computing says, wherever it stands."""

_CLASSES = ("22", "54")
"""What a value, or its size, is wrong in. What is said of a place in the text was said while
reading a literal, which PostgreSQL says at once as well."""


def names_columns(node: object) -> bool:
    """Whether the value of an expression depends on a row."""
    if isinstance(node, syntax.ColumnReference | syntax.Subquery):
        return True
    if isinstance(node, tuple):
        return any(map(names_columns, node))
    return is_dataclass(node) and any(names_columns(getattr(node, f.name)) for f in fields(node))


@contextmanager
def refuse_if_skipped(deciding: Sequence[syntax.Expression]) -> Iterator[None]:
    """Raises NotSupported for a constant that cannot be computed if one of these is another that
    may have decided."""
    try:
        yield
    except StatementError as exc:
        is_computed = exc.sqlstate in _COMPUTED or (
            exc.sqlstate[:2] in _CLASSES and not exc.position
        )
        if is_computed and not all(map(names_columns, deciding)):
            raise NotSupported(
                f"a constant that cannot be computed ({exc.message}) is not supported here",
                position=exc.position,
                hint="Leave it out where other constants decide.",
            ) from exc
        raise
