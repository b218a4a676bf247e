"""BEGIN, COMMIT, ROLLBACK, savepoints and the modes of a transaction, from their tokens to plans.

Pure. The words are PostgreSQL's grammar, every form that it takes; what is asked for there and not
here (two-phase commit by hand, exported snapshots) is refused.
"""

from __future__ import annotations

from collections.abc import Sequence

from shardrouter.errors import NotSupported
from shardrouter.lexer import Token
from shardrouter.planned import (
    Begin,
    EndBlock,
    Modes,
    Plan,
    SavepointStep,
    SetModes,
)
from shardrouter.statement_words import Rest

__all__ = ["transaction_control"]


def transaction_control(tokens: Sequence[Token]) -> Plan | None:
    """The plan of such a statement; None if it is none."""
    rest = Rest(tokens)
    first = tokens[0]
    if first.is_word("begin"):
        rest.skip(1)
        _noise(rest)
        return Begin("BEGIN", _modes(rest))
    if first.is_word("start"):
        rest.skip(1)
        rest.word("transaction")
        return Begin("START TRANSACTION", _modes(rest))
    if first.is_word("commit", "end"):
        rest.skip(1)
        return _end(rest, first, commit=True)
    if first.is_word("rollback", "abort"):
        rest.skip(1)
        if first.is_word("rollback"):
            _noise(rest)
            if rest.takes("to"):
                rest.takes("savepoint")
                return SavepointStep("rollback", rest.last(rest.name()))
        return _end(rest, first, commit=False)
    if first.is_word("savepoint"):
        rest.skip(1)
        return SavepointStep("savepoint", rest.last(rest.name()))
    if first.is_word("release"):
        rest.skip(1)
        rest.takes("savepoint")
        return SavepointStep("release", rest.last(rest.name()))
    if first.is_word("prepare") and len(tokens) > 1 and tokens[1].is_word("transaction"):
        raise _two_phases(tokens[0])
    if first.is_word("set"):
        return _set_modes(rest)
    return None


def _noise(rest: Rest) -> None:
    if not rest.takes("work"):
        rest.takes("transaction")


def _end(rest: Rest, first: Token, *, commit: bool) -> EndBlock:
    if rest.takes("prepared"):
        raise _two_phases(first)
    _noise(rest)
    chain = False
    if rest.takes("and"):
        chain = not rest.takes("no")
        rest.word("chain")
    return rest.last(EndBlock(commit, chain))


def _two_phases(token: Token) -> NotSupported:
    return NotSupported(
        "two-phase commit by hand is not supported",
        position=token.start + 1,
        hint="Use BEGIN and COMMIT.",
    )


def _set_modes(rest: Rest) -> SetModes | None:
    """SET TRANSACTION, also LOCAL, and SET SESSION CHARACTERISTICS AS TRANSACTION."""
    rest.skip(1)
    if rest.takes("session"):
        if not rest.takes("characteristics"):
            return None
        rest.word("as")
        rest.word("transaction")
        return SetModes(_modes(rest, at_least_one=True), for_session=True)
    rest.takes("local")
    if not rest.takes("transaction"):
        return None
    token = rest.peek()
    if token is not None and token.is_word("snapshot"):
        raise NotSupported(
            "SET TRANSACTION SNAPSHOT is not supported",
            position=token.start + 1,
            hint="Transactions are serializable; their snapshots are not shared.",
        )
    return SetModes(_modes(rest, at_least_one=True), for_session=False)


def _modes(rest: Rest, *, at_least_one: bool = False) -> Modes:
    isolation: str | None = None
    read_only: bool | None = None
    deferrable: bool | None = None
    is_first = True
    while rest.peek() is not None or (at_least_one and is_first):
        if not is_first:
            rest.takes_mark(",")
        is_first = False
        if rest.takes("isolation"):
            rest.word("level")
            isolation = _level(rest)
        elif rest.takes("read"):
            read_only = rest.takes("only")
            if not read_only:
                rest.word("write")
        elif rest.takes("not"):
            rest.word("deferrable")
            deferrable = False
        else:
            rest.word("deferrable")
            deferrable = True
    return Modes(isolation, read_only, deferrable)


def _level(rest: Rest) -> str:
    if rest.takes("serializable"):
        return "serializable"
    if rest.takes("repeatable"):
        rest.word("read")
        return "repeatable read"
    rest.word("read")
    if rest.takes("committed"):
        return "read committed"
    rest.word("uncommitted")
    return "read uncommitted"
