"""Between stored forms and Python's values: the edge of the embedded API.

Pure. PostgreSQL's clients get these conversions from their driver; a program that embeds the
router gets them here, with the classes asyncpg uses: Decimal for a numeric. Inside, and on the
PostgreSQL wire, there are stored forms only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from nodes.protocol import Value
from nodes.values import BOOL, NUMERIC, ValueFormatError, decode_text
from shardrouter.errors import StatementError
from shardrouter.planned import ResultColumn

__all__ = ["from_stored", "to_stored"]


def _bool(value: Any) -> Any:
    return bool(value)


_FROM_STORED: Final[Mapping[int, Callable[[Any], Any]]] = {BOOL: _bool, NUMERIC: Decimal}


def _numeric(value: Any) -> Value:
    """Of a Decimal, an integer, a float or a text."""
    try:
        number = value if isinstance(value, Decimal) else Decimal(str(value))
    except InvalidOperation as exc:
        raise TypeError(f"{value!r} is not a number") from exc
    return decode_text(str(number).encode(), NUMERIC)


_TO_STORED: Final[Mapping[int, Callable[[Any], Value]]] = {NUMERIC: _numeric}


def to_stored(oids: Sequence[int], arguments: Sequence[Any]) -> tuple[Value, ...]:
    """Arguments in the stored forms of their parameters' types; their number is not checked, nor
    are types whose stored form is Python's own. Raises StatementError."""
    if not any(oid in _TO_STORED for oid in oids) or len(oids) != len(arguments):
        return tuple(arguments)
    bound: list[Value] = []
    for number, (oid, value) in enumerate(zip(oids, arguments, strict=True), 1):
        convert = _TO_STORED.get(oid)
        if convert is None or value is None:
            bound.append(value)
            continue
        try:
            bound.append(convert(value))
        except ValueFormatError as exc:
            raise StatementError(exc.message, sqlstate=exc.sqlstate) from exc
        except (TypeError, ValueError, AttributeError) as exc:
            raise StatementError(
                f"parameter ${number} cannot be {value!r}: {exc}", sqlstate="42804"
            ) from exc
    return tuple(bound)


def from_stored(
    rows: Sequence[tuple[Value, ...]], columns: Sequence[ResultColumn]
) -> tuple[tuple[Any, ...], ...]:
    """Rows as a program wants them."""
    convert = [(i, _FROM_STORED[c.oid]) for i, c in enumerate(columns) if c.oid in _FROM_STORED]
    if not convert:
        return tuple(rows)
    found: list[tuple[Any, ...]] = []
    for row in rows:
        cells = list(row)
        for i, to_python in convert:
            if cells[i] is not None:
                cells[i] = to_python(cells[i])
        found.append(tuple(cells))
    return tuple(found)
