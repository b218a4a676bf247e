"""The levels of consistency that a session or a statement may ask for, by name.

`shardrouter.consistency` is a setting of the session; a comment at the head of a statement, or
behind its first word, is for that statement alone:

    /*+ consistency=bounded max_staleness=500ms */ SELECT ...

What else such a comment holds is other programs' business, as in PostgreSQL.

Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, cast

from nodes.protocol import Bounded
from shardrouter.errors import StatementError

__all__ = [
    "HINT_BEGINS",
    "LEVELS",
    "Hint",
    "Level",
    "check_level",
    "hint_in",
    "level_named",
    "name_of",
]

Level: TypeAlias = Literal["linearizable", "lease", "session", "any"] | Bounded
"""What reads are asked for by; what `session` comes to is known when one is sent."""

LEVELS: Final = ("linearizable", "lease", "session", "bounded", "any")

HINT_BEGINS: Final = "/*+"
"""Is in the text of every statement with a hint."""

_HINT: Final = re.compile(r"\s*(?:[A-Za-z]+\s*)?/\*\+(.*?)\*/", re.DOTALL)
_ITEM: Final = re.compile(r"\b(consistency|max_staleness)\s*=\s*([^\s,;]*)")


def check_level(value: str) -> str:
    """The name of a level. Raises StatementError 22023."""
    level = value.strip().lower()
    if level not in LEVELS:
        raise StatementError(
            f'invalid value for parameter "shardrouter.consistency": "{value}"',
            sqlstate="22023",
            hint=f"Available values: {', '.join(LEVELS)}.",
        )
    return level


def level_named(name: str, max_staleness_ms: int) -> Level:
    """The level of that name."""
    if name == "bounded":
        return Bounded(max_staleness_ms)
    assert name in LEVELS, f"{name} is no level"
    return cast("Level", name)


def name_of(level: Level) -> str:
    """What it is called."""
    return "bounded" if isinstance(level, Bounded) else level


@dataclass(frozen=True)
class Hint:
    """What a statement asks for by itself; empty: as the session does."""

    consistency: str = ""
    max_staleness: str = ""


def hint_in(text: str) -> Hint | None:
    """What the comment at the head of a statement asks for. Raises StatementError 22023."""
    if HINT_BEGINS not in text:
        return None
    match = _HINT.match(text)
    if match is None:
        return None
    items = dict(_ITEM.findall(match[1]))
    if not items:
        return None
    level = check_level(items["consistency"]) if "consistency" in items else ""
    return Hint(level, items.get("max_staleness", ""))
