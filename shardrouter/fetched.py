"""A query inside of another one that the shards answer whole: here it is its rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from shardrouter.outputs import Outputs
from shardrouter.typed import Typed, collated
from shardrouter.types import TEXT, Type

if TYPE_CHECKING:
    from shardrouter.fragments import Cut
    from shardrouter.translate import Scope

__all__ = ["Fetched"]


class Fetched:
    """`outputs.Outputs` of the table that the fragment's rows become."""

    def __init__(self, outputs: Outputs, cut: Cut, scope: Scope) -> None:
        self._outputs = outputs
        self._cut = cut
        self._scope = scope
        self.is_one_row = False

    @property
    def names(self) -> tuple[str, ...]:
        return self._outputs.names

    @property
    def kinds(self) -> tuple[Type | None, ...]:
        return self._outputs.kinds

    @property
    def modifiers(self) -> tuple[int, ...]:
        return self._outputs.modifiers

    def columns(self) -> tuple[Typed, ...]:
        return self._outputs.columns()

    def label(self, index: int) -> str:
        return f"c{index + 1}"

    def text(self, kinds: Sequence[Type | None] = (), *, distinct: bool = False) -> str:
        own = [kind or TEXT for kind in self._outputs.kinds]
        wanted = [kind or mine for kind, mine in zip(kinds or own, own, strict=True)]
        name = self._cut.whole(self._scope, self._outputs.text(kinds), wanted)
        listed = []
        for index, kind in enumerate(wanted):
            label = self.label(index)
            text = collated(Typed(label, kind)) if distinct else label
            listed.append(text if text == label else f"{text} AS {label}")
        return f"SELECT {', '.join(listed) or 'NULL'} FROM {name}"  # noqa: S608 -- our own names
