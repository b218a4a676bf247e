"""What was done to the database meanwhile: a window of time in which something was broken.

Checkers do not look at it, for a promise holds whatever breaks. People do: it is where they look
first, so a history may carry it, and pages shade it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from jepsen_like.history.operation import HistoryError

__all__ = ["NAME_CHARACTERS_MAX", "FaultWindow", "as_row", "from_row"]

NAME_CHARACTERS_MAX: Final = 200
_FIELDS: Final = ("fault", "start_ns", "end_ns", "verified")


@dataclass(frozen=True, slots=True)
class FaultWindow:
    """Times are of the clock of the operations."""

    name: str  # what was done to whom: "partition n2"
    start_ns: int
    end_ns: int | None  # None: nobody saw it end
    verified: bool | None = None  # seen to begin and end as asked; None: nobody looked
    line: int = field(default=0, compare=False)  # of the file it came from


def as_row(fault: FaultWindow) -> dict[str, Any]:
    """As a line of our JSON lines and of `--json` has it."""
    values = (fault.name, fault.start_ns, fault.end_ns, fault.verified)
    return dict(zip(_FIELDS, values, strict=True))


def from_row(row: dict[str, Any], line: int, time_max: int) -> FaultWindow:
    """Raises HistoryError, a sentence, for a row that is none."""
    if row.keys() != set(_FIELDS):
        raise HistoryError(f"a fault has {', '.join(_FIELDS)}, not {', '.join(map(str, row))}")
    name, start, end, verified = (row[field] for field in _FIELDS)
    if not isinstance(name, str) or not name:
        raise HistoryError(f"fault is a name, not {name!r}")
    for field_name, value in (("start_ns", start), ("end_ns", end)):
        if field_name == "end_ns" and value is None:
            continue
        if type(value) is not int:
            raise HistoryError(f"{field_name} of a fault cannot be {value!r}")
        if abs(value) > time_max:
            raise HistoryError(f"{field_name} is too large: it has {value.bit_length()} bits")
    if verified is not None and not isinstance(verified, bool):
        raise HistoryError(f"verified is true, false or null, not {verified!r}")
    return FaultWindow(name[:NAME_CHARACTERS_MAX], start, end, verified, line)
