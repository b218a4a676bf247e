"""The statements of one connection that come in one go: see `shardrouter.pgwire.round_trip`.

Which they are is learned from how they come: the first time a statement comes in a new way its
messages are handled one by one, from then on together. It is only statements of one shard, and the
BEGIN and COMMIT around them, for they are what there is much of.
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

from shardrouter.execution import Execution, Prepared
from shardrouter.pgserver.unit import PreparedStatement
from shardrouter.pgwire.round_trip import RoundTrip, learned, statement_bytes
from shardrouter.planned import OneShard, TransactionControl
from shardrouter.statement_names import STATEMENTS_MAX
from shardrouter.types import are_read_whole

__all__ = ["Asked", "RoundTrips"]

WAYS_MAX: Final = 8
"""Of one statement that are learned, for a client that changes its mind each time."""


Asked: TypeAlias = tuple[PreparedStatement, Execution, bool]
"""What came in one go, and whether its rows are to be described."""


class _Known(NamedTuple):
    name: str
    statement: PreparedStatement
    way: RoundTrip
    read_as: tuple[int, ...] | None
    """See `Execution`."""


class RoundTrips:
    """Of one connection, which `statements` are; `named` are those of its session, by name."""

    __slots__ = ("_known", "_named", "_statements")

    def __init__(
        self, statements: dict[str, PreparedStatement], named: dict[str, Prepared]
    ) -> None:
        self._statements = statements
        self._named = named
        self._known: dict[bytes, _Known] = {}  # by the name as it is written

    def read(self, data: bytes) -> Asked | None:
        """What `data` asks for. None: it has to be read message by message."""
        written = statement_bytes(data)
        if written is None:
            return None
        known = self._known.get(written)
        if known is None:
            self._learn(data, written)
            return None
        name, statement, way, read_as = known
        prepared = statement.prepared
        if self._statements.get(name) is statement and (
            not name or self._named.get(name) is prepared
        ):
            arguments = way.arguments(data, written)
            if arguments is not None:
                assert prepared is not None, "an empty query is not learned"
                execution = Execution(
                    prepared, arguments, way.formats, stream=True, read_as=read_as
                )
                return statement, execution, way.is_described
        del self._known[written]  # another statement, or sent in another way
        return None

    def _learn(self, data: bytes, written: bytes) -> None:
        name = written.decode(errors="replace")
        statement = self._statements.get(name)
        if (
            statement is None
            or not isinstance(statement.plan, OneShard | TransactionControl)
            or statement.bound is not None
            or statement.ways >= WAYS_MAX
            or name.encode() != written
        ):
            return
        statement.ways += 1
        oids = statement.parameter_oids
        way = learned(data, written, oids, len(statement.columns))
        if way is not None:
            if len(self._known) >= STATEMENTS_MAX:  # of statements that are closed, most of them
                self._known.clear()
            self._known[written] = _Known(
                name, statement, way, oids if are_read_whole(oids) else None
            )
