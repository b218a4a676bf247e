"""Plans of statements, kept by their text, for all sessions of a router.

Bounded in number and in bytes. A text is planned on the event loop, where that is quicker than
going elsewhere, unless it is long: then on a thread, so that nobody else waits for it.
"""

from __future__ import annotations

import asyncio
import gc
from collections import OrderedDict
from typing import Final, TypeAlias

from shardrouter.catalog import Catalog
from shardrouter.errors import RouterError
from shardrouter.execution import Prepared
from shardrouter.identity import Identity
from shardrouter.lexer import cut_names
from shardrouter.lifted import LIFTED_FROM, lift, values_of
from shardrouter.plan import make_plan, parameter_oids, result_columns
from shardrouter.planned import SchemaChange
from shardrouter.role_statements import RoleStatement
from shardrouter.settings import check_hint

__all__ = ["PlanCache"]

PREPARED_MAX: Final = 4096
"""Statements whose plans are kept; the one not used for longest goes first."""

PREPARED_BYTES_MAX: Final = 8 * 1024 * 1024
"""Characters of their texts in all. A plan takes some ten times its text."""

LONG_TEXT: Final = 16 * 1024
"""Characters from which a text is planned on a thread: some ten milliseconds."""

HUGE_TEXT: Final = 256 * 1024
"""Characters from which what planning has left behind is collected at once. The tree of a statement
refers to itself, and a router's collector comes too rarely for hundreds of megabytes of them; to
walk all plans takes a tenth of what such a text takes to be planned."""

_Key: TypeAlias = tuple[str, tuple[int, ...], tuple[str, ...]]


class PlanCache:
    """Prepared statements by text, declared parameter types and the schemas where names are looked
    for, of one catalog."""

    def __init__(self) -> None:
        self._catalog_version = -1
        self._prepared: OrderedDict[_Key, Prepared] = OrderedDict()
        self._size = 0

    def get(
        self, text: str, oids: tuple[int, ...], catalog: Catalog, path: tuple[str, ...]
    ) -> Prepared | None:
        if catalog.version != self._catalog_version:
            return None
        key = (text, oids, path)
        prepared = self._prepared.get(key)
        if prepared is not None:
            self._prepared.move_to_end(key)
        return prepared

    async def make(self, text: str, oids: tuple[int, ...], catalog: Catalog, user: str) -> Prepared:
        """Plan `text`, which the role `user` sends, and keep the plan. Raises what `make_plan`
        raises, and 22023 for what its hint asks for, whether or not it reads."""
        check_hint(text)
        identity = Identity(user)
        if len(text) >= LIFTED_FROM:
            lifted = await asyncio.to_thread(_lifted, text, catalog, oids, identity)
            if lifted is not None:
                return lifted  # not kept: it has its values with it
        if len(text) < LONG_TEXT:
            plan = make_plan(text, catalog, oids, identity)
        else:
            try:
                plan = await asyncio.to_thread(make_plan, text, catalog, oids, identity)
            finally:
                if len(text) >= HUGE_TEXT:
                    await asyncio.to_thread(gc.collect)
        prepared = Prepared(
            text,
            plan,
            parameter_oids(plan),
            result_columns(plan),
            catalog.search_path,
            cut_names=cut_names(text),
        )
        if isinstance(plan, SchemaChange) and isinstance(plan.definition, RoleStatement):
            return prepared  # not kept: there may be a password in it
        if identity.was_asked:
            return prepared  # not kept: it is right for this role only
        if catalog.version > self._catalog_version:
            self._prepared.clear()
            self._size = 0
            self._catalog_version = catalog.version
        if catalog.version == self._catalog_version and len(text) <= PREPARED_BYTES_MAX:
            self._keep(prepared, (text, oids, catalog.search_path))
        return prepared

    def _keep(self, prepared: Prepared, key: _Key) -> None:
        if key not in self._prepared:
            self._size += len(prepared.text)
        self._prepared[key] = prepared
        while len(self._prepared) > PREPARED_MAX or self._size > PREPARED_BYTES_MAX:
            (text, _, _), _ = self._prepared.popitem(last=False)
            self._size -= len(text)


def _lifted(
    text: str, catalog: Catalog, oids: tuple[int, ...], identity: Identity
) -> Prepared | None:
    """The statement with its long texts as arguments; None if there is nothing of that, or what is
    wrong with it should be said of the text as it is."""
    try:
        found = lift(text)
        if found is None:
            return None
        changed, texts = found
        plan = make_plan(changed, catalog, oids, identity)
        values = values_of(texts, parameter_oids(plan))
    except RouterError:
        return None
    return Prepared(
        text, plan, (), result_columns(plan), catalog.search_path, values, cut_names(text)
    )
