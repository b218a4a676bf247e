"""What one session does with sequences: the numbers its statements need, currval and lastval."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from msgspec import structs

from nodes.protocol import Value
from shardrouter.catalog import Catalog
from shardrouter.draft import Draft, is_drafted
from shardrouter.errors import StatementError
from shardrouter.execution import Execution
from shardrouter.made_keys import UNIQUE_ID, is_made
from shardrouter.planned import OneShard, SequenceCall
from shardrouter.sequence_cache import SequenceCache
from shardrouter.sequences import State, checked, following
from shardrouter.tables import SqlSequence

__all__ = ["SessionSequences"]


class SessionSequences:
    """Numbers are drawn when a statement is executed, before it leaves: what the shard gets are
    values. A number is never drawn twice, whatever becomes of the statement."""

    def __init__(self, cache: SequenceCache) -> None:
        self._cache = cache
        self._drafted: dict[tuple[str, int], State] = {}  # see `_draw`
        self._drawn: dict[str, int] = {}  # name -> what currval answers
        self._last: str | None = None
        self._to_announce: dict[str, None] = {}  # names of sequences

    def at_once(self, execution: Execution, catalog: Catalog) -> Execution | None:
        """The execution with the numbers its plan needs; None if one is not at hand."""
        plan = execution.prepared.plan
        if not isinstance(plan, OneShard) or len(execution.drawn) == len(plan.draws):
            return execution
        if not plan.draws:
            return execution
        if not _drawn_by_columns(plan, catalog):
            return None
        keys = self._cache.keys
        for name, count in Counter(plan.draws).items():
            if is_made(name):
                is_at_hand = name != UNIQUE_ID or keys.number is not None
            else:
                is_at_hand = self._cache.at_hand(_find(catalog, name)) >= count
            if not is_at_hand:
                return None
        numbers = [
            self._cache.make(name) if is_made(name) else self._cache.take(_find(catalog, name))
            for name in plan.draws
        ]
        self._remember(plan.draws, numbers)
        return structs.replace(execution, drawn=tuple(numbers))

    async def fill(self, execution: Execution, catalog: Catalog, deadline: float) -> Execution:
        """The same, waiting for `meta`. Raises RouterError."""
        plan = execution.prepared.plan
        if not isinstance(plan, OneShard) or execution.drawn:
            return execution
        if plan.numbers is not None and plan.numbers.rows is not None:
            return await self.numbered(execution, plan.numbers.rows, catalog, deadline)
        if not plan.draws:
            return execution
        if not _drawn_by_columns(plan, catalog):
            drawn = (name for name in plan.draws if not is_made(name))
            await self._confirm({name: _find(catalog, name) for name in drawn}, deadline)
        numbers = [await self._next(name, catalog, deadline) for name in plan.draws]
        self._remember(plan.draws, numbers)
        return structs.replace(execution, drawn=tuple(numbers))

    async def numbered(
        self, execution: Execution, rows: int, catalog: Catalog, deadline: float
    ) -> Execution:
        """The same for an INSERT from a query that has so many rows."""
        plan = execution.prepared.plan
        assert isinstance(plan, OneShard)
        assert plan.numbers is not None
        drawn = await self.for_rows(plan.numbers.sequences, rows, catalog, deadline)
        runs = map(_runs, zip(*drawn, strict=True)) if drawn else [""] * len(plan.numbers.sequences)
        return structs.replace(execution, drawn=tuple(runs))

    async def for_rows(
        self, names: tuple[str, ...], count: int, catalog: Catalog, deadline: float
    ) -> list[tuple[Value, ...]]:
        """Numbers of these sequences for each of so many rows. Raises RouterError."""
        rows: list[tuple[Value, ...]] = []
        for _ in range(count):
            numbers = [
                await self._next(name, catalog, deadline, count - len(rows)) for name in names
            ]
            rows.append(tuple(numbers))
        if rows:
            self._remember(names, list(rows[-1]))
        return rows

    async def _next(self, name: str, catalog: Catalog, deadline: float, wanted: int = 1) -> Value:
        if is_made(name):
            if name == UNIQUE_ID:
                await self._cache.have_number(deadline)
            return self._cache.make(name)
        sequence = _find(catalog, name)
        if self._cache.at_hand(sequence):
            return self._cache.take(sequence)
        return await self._draw(sequence, deadline, wanted)

    def _remember(self, names: tuple[str, ...], numbers: Sequence[Value]) -> None:
        for name, number in zip(names, numbers, strict=True):
            if not is_made(name):
                assert isinstance(number, int)
                self._drawn[name] = number
                self._last = name

    async def _confirm(self, sequences: dict[str, SqlSequence], deadline: float) -> None:
        published = [s for s in sequences.values() if not is_drafted(s.version)]
        if any(self._cache.at_hand(sequence) for sequence in published):
            await self._cache.confirm(published, deadline)

    async def call(
        self, plan: SequenceCall, catalog: Catalog, deadline: float, *, in_block: bool
    ) -> Value:
        """nextval, currval, lastval or setval, or a key that the router makes. Raises RouterError.

        What other routers have taken of a sequence is void when setval is answered; in a
        transaction block, whose own rows may have numbers of it, when that has ended
        (`announce`)."""
        if is_made(plan.sequence):
            return await self._next(plan.sequence, catalog, deadline)
        if plan.function == "lastval":
            if self._last is None:
                raise StatementError("lastval is not yet defined in this session", sqlstate="55000")
            return self._drawn[self._last]
        sequence = _find(catalog, plan.sequence)
        if plan.function == "currval":
            if plan.sequence not in self._drawn:
                raise StatementError(
                    f'currval of sequence "{sequence.relname}" is not yet defined in this session',
                    sqlstate="55000",
                )
            return self._drawn[plan.sequence]
        if plan.function == "setval":
            state = State(plan.value, plan.is_called)
            if is_drafted(sequence.version):
                self._drafted[sequence.name, sequence.version] = checked(sequence, state)
            elif in_block:
                await self._cache.set_here(sequence, state, deadline)
                self._to_announce[sequence.name] = None
            else:
                await self._cache.set(sequence, state, deadline)
            if plan.is_called:
                self._drawn[plan.sequence] = plan.value
            return plan.value
        await self._confirm({sequence.name: sequence}, deadline)
        number = await self._draw(sequence, deadline)
        self._remember((plan.sequence,), [number])
        return number

    @property
    def has_news(self) -> bool:
        """Whether others do not know of a setval yet."""
        return bool(self._to_announce)

    async def announce(self, deadline: float) -> None:
        """The transaction block that had a setval has ended. Raises RouterError."""
        names, self._to_announce = tuple(self._to_announce), {}
        await self._cache.announce(names, deadline)

    # ------------------------------------------------------------------ of a transaction

    async def _draw(self, sequence: SqlSequence, deadline: float, wanted: int = 1) -> int:
        """The next number, the first of so many that are wanted. Those of a sequence that a
        transaction has made, and that is in no catalog yet, are counted here; COMMIT says how far.
        As in PostgreSQL no rollback to a savepoint takes them back."""
        if not is_drafted(sequence.version):
            return await self._cache.draw(sequence, deadline, wanted)
        key = sequence.name, sequence.version
        state = self._drafted.get(key) or State(sequence.start, is_called=False)
        (number,) = following(sequence, state, 1)
        self._drafted[key] = State(number, is_called=True)
        return number

    def drafted_numbers(self, draft: Draft) -> tuple[tuple[str, int, bool], ...]:
        """How far the numbers of the transaction's own sequences were given out."""
        found = []
        for sequence in draft.catalog.sequences.values():
            state = self._drafted.get((sequence.name, sequence.version))
            if state is not None:
                found.append((sequence.name, state.last, state.is_called))
        return tuple(found)

    def forget(self) -> None:
        """DISCARD SEQUENCES: what currval and lastval would answer."""
        self._drawn.clear()
        self._last = None

    def forget_drafted(self) -> None:
        """The transaction is over."""
        self._drafted.clear()


def _drawn_by_columns(plan: OneShard, catalog: Catalog) -> bool:
    """Whether its table draws all of them by itself: then the table's version speaks for them."""
    table = catalog.tables[plan.tables[0][0]]
    return all(name in table.sequences or is_made(name) for name in plan.draws)


def _runs(numbers: Sequence[Value]) -> str | bytes:
    """Numbers as `pg_drawn` reads them: runs of even steps, each as first, end and step; UUIDs one
    behind the other."""
    uuids = [number for number in numbers if isinstance(number, bytes)]
    if uuids:
        return b"".join(uuids)
    runs: list[range] = []
    for number in numbers:
        assert isinstance(number, int)
        last = runs[-1] if runs else range(0)
        if len(last) == 1 and number != last[0]:
            step = number - last[0]
            runs[-1] = range(last[0], number + step, step)
        elif last and number == last.stop:
            runs[-1] = range(last.start, number + last.step, last.step)
        else:
            runs.append(range(number, number + 1))
    return ",".join(f"{run.start} {run.stop} {run.step}" for run in runs)


def _find(catalog: Catalog, name: str) -> SqlSequence:
    sequence = catalog.sequences.get(name)
    if sequence is None:
        raise StatementError(f'relation "{name}" does not exist', sqlstate="42P01")
    return sequence
