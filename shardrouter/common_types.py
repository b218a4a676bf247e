"""The type in which several expressions meet: PostgreSQL's 10.5, and its `anycompatible`."""

from __future__ import annotations

from collections.abc import Sequence

from shardrouter import casts
from shardrouter.errors import StatementError
from shardrouter.types import ARRAY_OF, TEXT, Type

__all__ = ["common_type", "compatible"]


def common_type(kinds: Sequence[Type | None], context: str, positions: Sequence[int] = ()) -> Type:
    """The type for several expressions, None for open ones (PostgreSQL's 10.5)."""
    chosen: Type | None = None
    for i, kind in enumerate(kinds):
        if kind is None or kind is chosen:
            continue
        if chosen is None:
            chosen = kind
        elif kind.category != chosen.category or kind.is_own or chosen.is_own:
            raise StatementError(
                f"{context} types {chosen.name} and {kind.name} cannot be matched",
                sqlstate="42804",
                position=positions[i] if positions else 0,
            )
        elif (
            not chosen.preferred
            and casts.is_implicit(chosen, kind)
            and not casts.is_implicit(kind, chosen)
        ):
            chosen = kind
    chosen = chosen or TEXT
    for i, kind in enumerate(kinds):
        if kind is not None and kind is not chosen and not casts.is_implicit(kind, chosen):
            raise StatementError(
                f"{context} could not convert type {kind.name} to {chosen.name}",
                sqlstate="42846",
                position=positions[i] if positions else 0,
            )
    return chosen


def compatible(given: Sequence[Type | None], places: Sequence[str]) -> list[Type | None]:
    """The types of arguments, None for open ones, of which each is an `array` or an `element` of
    one common type. Where there is none they stay: there is no such function."""
    elements = [
        kind.element if place == "array" and kind.element is not None else kind
        for kind, place in zip(given, places, strict=False)
        if kind is not None
    ]
    is_array = [kind is None or kind.element is not None for kind in given]
    if len(set(elements)) < 2 or len(given) < len(places):
        return list(given)
    if not all(has for has, place in zip(is_array, places, strict=False) if place == "array"):
        return list(given)
    try:
        common = common_type(elements, "")
    except StatementError:
        return list(given)
    if common not in ARRAY_OF or not all(casts.is_implicit(e, common) for e in elements):
        return list(given)
    found = [
        None if kind is None else ARRAY_OF[common] if place == "array" else common
        for kind, place in zip(given, places, strict=False)
    ]
    return [*found, *given[len(places) :]]
