"""Many rows on their way to where they belong, of a COPY or of a query: all to one shard, to every
shard, or each to that of its key (docs/bulk.md)."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from nodes.protocol import Guard, Staged, Statement, Value
from nodes.values import slot_finder
from shardrouter import changes
from shardrouter.catalog import Catalog, home_guard
from shardrouter.execution import Command
from shardrouter.plan import value_of
from shardrouter.planned import OneShard
from shardrouter.shards import Shards
from shardrouter.upload import Upload

__all__ = ["RowsUpload"]


class RowsUpload:
    """A stage on each shard that has rows: on all of `places`, or, if there are none, each on that
    of its key. `insert` is what writes one into `table`; each chunk has `timeout_s` to be taken."""

    def __init__(
        self,
        shards: Shards,
        insert: OneShard,
        places: Sequence[str],
        table: str,
        catalog: Catalog,
        timeout_s: float,
    ) -> None:
        self._shards = shards
        self._insert = insert
        self._table = table
        self._catalog = catalog
        self._timeout_s = timeout_s
        self._uploads: dict[str, Upload] = {}
        self._guards: dict[str, dict[Guard, None]] = {}  # of the slots that rows are in
        self._rows: dict[str, array[int]] = {}  # which they are, from 1
        self._count = 0
        self._staged: dict[str, Staged] = {}
        self._find = None if places else slot_finder(insert.key_type)
        for shard in places:
            self._upload(shard)

    @property
    def each(self) -> list[Upload]:
        """Of each shard."""
        return list(self._uploads.values())

    @property
    def is_full(self) -> bool:
        """Whether who adds rows should wait for `room` first."""
        return any(upload.is_full for upload in self._uploads.values())

    @property
    def apply_s(self) -> float:
        """How long replicas may take to apply what was added, at the most."""
        return max((upload.apply_s for upload in self._uploads.values()), default=0.0)

    async def room(self) -> None:
        """Return when rows may be added. Raises RouterError if one was refused."""
        for upload in self.each:
            await upload.room()

    def add(self, rows: Sequence[Sequence[Value]]) -> None:
        """Some rows more. Raises RouterError, whose `row` may name one."""
        if self._find is None:
            for upload in self._uploads.values():
                upload.add(rows)
            return
        by_shard: dict[str, list[Sequence[Value]]] = {}
        [key] = self._insert.keys
        for row in rows:
            self._count += 1
            value = value_of(key, row)
            if value is None:
                error = changes.null_key(self._insert.key, self._table)
                error.row = self._count
                raise error
            shard, guard = self._catalog.owner(self._find(value))
            by_shard.setdefault(shard, []).append(row)
            if shard not in self._uploads:
                self._upload(shard)
            self._guards[shard][guard] = None
            self._rows[shard].append(self._count)
        for shard, some in by_shard.items():
            self._uploads[shard].add(some)

    def _upload(self, shard: str) -> None:
        self._uploads[shard] = Upload(self._shards, shard, self._timeout_s)
        self._guards[shard] = {}
        self._rows[shard] = array("L")

    async def finish(self) -> bool:
        """All rows are added: return when all of them are kept; whether there are some. Raises
        RouterError."""
        for shard, upload in self._uploads.items():
            staged = await upload.finish()
            if staged is not None:
                self._staged[shard] = staged
        return bool(self._staged)

    def commands(self, insert: OneShard, catalog: Catalog) -> list[Command]:
        """What writes them, by `insert` as it was planned for `catalog`."""
        commands = []
        for shard, staged in self._staged.items():
            guards = (*insert.guards, *self._guards[shard])
            if not insert.keys and not insert.spread:
                guards = (*guards, home_guard(catalog))
            commands.append(Command(shard, Statement(insert.sql, staged=staged), guards))
        return commands

    def row_of(self, shard: str, row: int) -> int:
        """Which of all rows is row `row` of a shard, both from 1."""
        rows = self._rows.get(shard)
        return rows[row - 1] if rows and 0 < row <= len(rows) else row

    def abandon(self) -> None:
        """No write will name them."""
        for upload in self._uploads.values():
            upload.abandon()
