"""The catalog as one transaction has changed it so far: seen by nobody else (docs/transactions.md).

Pure. A draft has versions of its own (`DRAFTED` and above) which no shard and no other session
ever hears of: what was planned for it is planned again elsewhere. Its statements are kept as they
were written; at COMMIT they are carried out once more on the catalog of that moment, and the
transaction stands only if they mean the same there. So two transactions that change the schema at
once both commit if neither changes what the other one's statements say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from shardrouter.catalog import Catalog
from shardrouter.definition_changes import Begun, begin
from shardrouter.definitions import Definition
from shardrouter.errors import DefiniteError
from shardrouter.schema_change import published
from shardrouter.tables import Change, Placement, Table

__all__ = [
    "DRAFTED",
    "Draft",
    "begin_draft",
    "committed",
    "drafted",
    "is_drafted",
    "on_other_catalog",
]

DRAFTED: Final = 1 << 40
"""Versions from here on are of drafts. A catalog's own begin at 1 and grow by a few with each
change."""


def is_drafted(version: int) -> bool:
    return version >= DRAFTED


@dataclass(frozen=True)
class Drafted:
    """A statement, and what it changed: None if there was nothing to do."""

    definition: Definition
    default: Placement
    path: tuple[str, ...]  # where its names are looked for
    change: Change | None


@dataclass(frozen=True)
class Draft:
    """`catalog` is `base` with all of `steps`."""

    base: Catalog
    catalog: Catalog
    steps: tuple[Drafted, ...] = ()

    @property
    def changes(self) -> tuple[Change, ...]:
        return tuple(step.change for step in self.steps if step.change is not None)

    def published_version(self, table: str) -> int | None:
        """The version that the shards have of a table which is changed here, 0 if there never was
        one; None if it is not changed."""
        for change in self.changes:
            for moved in change.tables:
                if moved.name == table:
                    return moved.previous
        return None

    def at(self, version: int) -> Draft:
        """The same as something new: plans made for it before are not valid for it."""
        return replace(self, catalog=replace(self.catalog, version=version))


def begin_draft(catalog: Catalog) -> Draft:
    return Draft(catalog, catalog)


def drafted(
    draft: Draft,
    definition: Definition,
    default: Placement,
    path: tuple[str, ...],
    version: int,
) -> tuple[Draft, Begun]:
    """The draft after one more statement, and what that changes, under a version that was never
    used. Raises StatementError and NotSupported."""
    catalog = replace(draft.catalog, version=version - 1).searched(path)
    begun = begin(catalog, definition, default)
    catalog = draft.catalog
    if begun.change is not None:
        catalog = published(catalog, begun.change)
    step = Drafted(definition, default, path, begun.change)
    return replace(draft, catalog=catalog, steps=(*draft.steps, step)), begun


def on_other_catalog(draft: Draft, base: Catalog, version: int) -> Draft | None:
    """The draft made on `base`, its catalog under a new version; None if its statements mean
    something else there."""
    if base.version == draft.base.version:
        return draft
    made = begin_draft(base)
    for step in draft.steps:
        number = 0 if step.change is None else step.change.version
        try:
            made, begun = drafted(made, step.definition, step.default, step.path, number)
        except DefiniteError:
            return None
        if not _is_alike(begun.change, step.change):
            return None
    return made.at(version)


def committed(draft: Draft, base: Catalog) -> tuple[Change, ...] | None:
    """What the COMMIT of the draft changes in `base`, under the next version of that; None if its
    statements mean something else there."""
    found = on_other_catalog(draft, base, draft.catalog.version)
    if found is None:
        return None
    own = base.version + 1
    return tuple(_with_versions(c, lambda v: own if is_drafted(v) else v) for c in found.changes)


def _is_alike(one: Change | None, other: Change | None) -> bool:
    """Whether two changes do the same, whatever the versions."""
    if one is None or other is None:
        return one is other
    return _with_versions(one, lambda _: 0) == _with_versions(other, lambda _: 0)


def _with_versions(change: Change, number: Callable[[int], int]) -> Change:
    """The change with another number in place of each version in it."""

    def table(known: Table | None) -> Table | None:
        return None if known is None else replace(known, version=number(known.version))

    tables = (
        replace(
            moved,
            previous=number(moved.previous),
            elsewhere=number(moved.elsewhere),
            before=table(moved.before),
            after=table(moved.after),
        )
        for moved in change.tables
    )
    made = (replace(sequence, version=number(sequence.version)) for sequence in change.made)
    altered = (replace(s, version=number(s.version)) for s in change.altered)
    return replace(
        change,
        version=number(change.version),
        tables=tuple(tables),
        made=tuple(made),
        altered=tuple(altered),
    )
