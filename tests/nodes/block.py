"""A transaction as a router keeps it, in front of a real machine: what tests of speculation and
of COMMIT share."""

from __future__ import annotations

from nodes.config import WriteLimits
from nodes.machine import Machine
from nodes.outcome_digest import chain, digest_of
from nodes.protocol import (
    Guard,
    Mark,
    Ran,
    ResponseBody,
    SessionId,
    Speculate,
    Speculated,
    SqlFailure,
    Statement,
    StatementResult,
    Step,
    Transaction,
    Value,
    Write,
)

LIMITS = WriteLimits()


class Block:
    """BEGIN ... COMMIT of one client."""

    def __init__(self, name: str, *, now_us: int = 5_000_000, seed: int = 11) -> None:
        self.id = name.encode()
        self.now_us = now_us
        self.seed = seed
        self.steps: list[Step] = []
        self.guards: tuple[Guard, ...] = ()

    def ask(self, sql: str, *parameters: Value, leave_out: bool = False) -> Speculate:
        """The request for a statement; the steps before it may be left out."""
        new = Ran(Statement(sql, parameters))
        steps: tuple[Step, ...] = (*self.steps, new)
        base = b""
        if leave_out:
            for step in self.steps:
                base = chain(base, step)
            steps = (new,)
        transaction = Transaction(self.now_us, self.seed, steps)
        return Speculate(self.id, transaction, self.guards, base, quick=True)

    def took(self, asked: Speculate, outcome: StatementResult | SqlFailure) -> None:
        """The client was told `outcome`."""
        new = asked.transaction.steps[-1]
        assert isinstance(new, Ran)
        self.steps.append(Ran(new.statement, digest_of(outcome)))

    def answered(self, machine: Machine, sql: str, *parameters: Value) -> ResponseBody:
        """What the leader answers to a statement, a step or not."""
        asked = self.ask(sql, *parameters)
        answer = machine.speculate_now(asked, LIMITS, 10.0)
        assert not hasattr(answer, "is_set")
        if isinstance(answer, Speculated):
            outcome = answer.result or answer.failure
            assert outcome is not None
            self.took(asked, outcome)
        return answer  # type: ignore[return-value]

    def rows(self, machine: Machine, sql: str, *parameters: Value) -> list[tuple[Value, ...]]:
        """The rows of a statement that has to succeed."""
        answer = self.answered(machine, sql, *parameters)
        assert isinstance(answer, Speculated), answer
        assert answer.result is not None, answer
        return list(answer.result.values)

    def fails(self, machine: Machine, sql: str, *parameters: Value) -> str:
        """The SQLSTATE of a statement that has to fail, as a step."""
        answer = self.answered(machine, sql, *parameters)
        assert isinstance(answer, Speculated), answer
        assert answer.failure is not None, answer
        return answer.failure.sqlstate

    def mark(self, mark: Mark) -> None:
        self.steps.append(mark)

    def commit(self, session: SessionId, seq: int, guards: tuple[Guard, ...] = ()) -> Write:
        transaction = Transaction(self.now_us, self.seed, tuple(self.steps))
        return Write(session, seq, 0, (), guards, quick=True, transaction=transaction)
