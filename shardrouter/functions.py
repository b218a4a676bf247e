"""Scalar functions by name and number of arguments; their rows are in `shardrouter.signatures`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from shardrouter.signatures import arrays, jsons, numbers, system, texts, times
from shardrouter.signatures.signature import Function
from shardrouter.types import Type

__all__ = ["NOT_HERE", "Function", "candidates", "names"]


def _by_name(*rows: Iterator[Function]) -> Mapping[tuple[str, int], tuple[Function, ...]]:
    found: dict[tuple[str, int], list[Function]] = {}
    for row in rows:
        for function in row:
            key = (function.name, len(function.arguments))
            found.setdefault(key, []).append(function)
    return {key: tuple(functions) for key, functions in found.items()}


_FUNCTIONS: Final = _by_name(
    numbers.rows(), texts.rows(), times.rows(), arrays.rows(), jsons.rows(), system.rows()
)

NOT_HERE: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        """
        clock_timestamp current_time currval hashtext lastval nextval pg_sleep setval txid_current
        """.split(),  # noqa: SIM905 -- a list of names
        "",
    ),
    "pg_sleep": "Wait in the application.",
}
"""Functions of PostgreSQL's that are not here, with what to do instead."""


def candidates(
    name: str, arguments: int, given: Sequence[Type | None] = ()
) -> tuple[Function, ...]:
    """The functions of a name that take so many arguments, such as are `given`."""
    found = _FUNCTIONS.get((name, arguments), ())
    own = {kind for kind in given if kind is not None and kind.is_own and kind.element is not None}
    for kind in own:
        assert kind.element is not None
        found += tuple(
            function
            for function in arrays.of_enumeration(kind.element, kind)
            if function.name == name and len(function.arguments) == arguments
        )
    return found


def names() -> frozenset[str]:
    """Of all functions."""
    return frozenset(name for name, _ in _FUNCTIONS)
