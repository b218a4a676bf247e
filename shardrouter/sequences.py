"""Numbers of a sequence: which come next, and the writes to `meta` that give them out.

Pure. `meta` has for each sequence the last number that is given out, as PostgreSQL's sequences
have. A router takes a range at a time, by a write that changes the row only if it is as the router
knows it, and answers with the row as it then is; what a router took and did not use is a gap, as
PostgreSQL's sequences have them after a crash, or with CACHE.
"""

from __future__ import annotations

from dataclasses import dataclass

from nodes.protocol import Guard, Statement, StatementResult
from shardrouter.catalog import Parts
from shardrouter.errors import StatementError
from shardrouter.tables import SqlSequence

__all__ = ["State", "checked", "following", "guard_of", "set_parts", "state_of", "take_parts"]


@dataclass(frozen=True)
class State:
    """`last` was given out if `is_called`; else it is the next."""

    last: int
    is_called: bool


def following(sequence: SqlSequence, state: State, count: int) -> range:
    """The next numbers, at most `count`, at least one. Raises 2200H at the end of a sequence that
    does not begin again."""
    step = sequence.increment
    first = state.last + step if state.is_called else state.last
    if not sequence.minimum <= first <= sequence.maximum:
        if not sequence.cycle:
            what, bound = (
                ("maximum", sequence.maximum) if step > 0 else ("minimum", sequence.minimum)
            )
            raise StatementError(
                f'nextval: reached {what} value of sequence "{sequence.relname}" ({bound})',
                sqlstate="2200H",
            )
        first = sequence.minimum if step > 0 else sequence.maximum
    end = sequence.maximum if step > 0 else sequence.minimum
    return range(first, first + step * min(count, (end - first) // step + 1), step)


_READ = 'SELECT "last", "is_called" FROM "catalog_sequences" WHERE "name" = ?1'


def guard_of(sequence: SqlSequence) -> Guard:
    """The sequence is still the one of this name that is meant."""
    return Guard(f"sequence:{sequence.name}", sequence.version)


def take_parts(sequence: SqlSequence, state: State, last: int) -> Parts:
    """Give out all up to `last`, if the row is as in `state`; answers the row."""
    text = (
        'UPDATE "catalog_sequences" SET "last" = ?2, "is_called" = 1 '
        'WHERE "name" = ?1 AND "last" = ?3 AND "is_called" = ?4'
    )
    values = (sequence.name, last, state.last, int(state.is_called))
    return Parts(
        (Statement(text, values), Statement(_READ, (sequence.name,))), (guard_of(sequence),)
    )


def checked(sequence: SqlSequence, state: State) -> State:
    """What setval() may set. Raises StatementError 22003."""
    if not sequence.minimum <= state.last <= sequence.maximum:
        raise StatementError(
            f'setval: value {state.last} is out of bounds for sequence "{sequence.relname}" '
            f"({sequence.minimum}..{sequence.maximum})",
            sqlstate="22003",
        )
    return state


def set_parts(sequence: SqlSequence, state: State) -> Parts:
    """setval()."""
    state = checked(sequence, state)
    text = 'UPDATE "catalog_sequences" SET "last" = ?2, "is_called" = ?3 WHERE "name" = ?1'
    values = (sequence.name, state.last, int(state.is_called))
    return Parts((Statement(text, values),), (guard_of(sequence),))


def state_of(result: StatementResult) -> State:
    ((last, is_called),) = result.values
    assert isinstance(last, int)
    return State(last, bool(is_called))
