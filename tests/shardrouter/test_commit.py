"""What becomes of a COMMIT when nodes redirect, refuse, fall silent and forget: it is a write like
any other, and its outcome is settled like one."""

from __future__ import annotations

import asyncio
import random

import pytest

from nodes.protocol import (
    Aborted,
    Done,
    Fence,
    Guard,
    NotOpen,
    Ran,
    Speculate,
    Speculated,
    SqlFailure,
    Stale,
    Statement,
    StatementResult,
    UnknownOutcome,
    Write,
)
from shardrouter.block import Block
from shardrouter.catalog import Catalog
from shardrouter.errors import RouterError
from shardrouter.execution import Execution, Outcome, Prepared
from shardrouter.finishing import Finishing
from shardrouter.planned import EndBlock, Modes, SetSetting
from shardrouter.row_stream import RowStream
from shardrouter.schema import Schema
from shardrouter.session_sequences import SessionSequences
from shardrouter.settings import Settings
from shardrouter.shards import Shards, Stepped
from shardrouter.tasks import Tasks
from shardrouter.transactions import Transactions
from tests.shardrouter.catalogs import EMPTY
from tests.shardrouter.scripted import Cut, Hold, Reply, advance, run, scripted

COMMIT = Execution(Prepared("COMMIT", EndBlock(commit=True, chain=False), (), ()))
SQL = Statement("UPDATE t SET n = n + 1 WHERE id = ?1", (1,))
GUARDS = (Guard("table:t", 1),)
ONE = StatementResult(1)
DONE = Done((), 7)
DIFFERS = SqlFailure("40001", "could not serialize access", 3)


class Host:
    """A session that has nothing but a block."""

    def __init__(self, shards: Shards) -> None:
        self.settings = Settings()
        self.shards = shards
        self.finishing = Finishing(random.Random(1))
        self.schema = Schema(shards, ("shard-1",), Tasks())
        self.sequences = SessionSequences(self.schema.sequences)

    @property
    def catalog(self) -> Catalog:
        return EMPTY

    async def current(self, execution: Execution, deadline: float) -> Execution:
        raise AssertionError(deadline)

    async def prepare(self, text: str, parameter_oids: tuple[int, ...] = ()) -> Prepared:
        raise AssertionError(text)

    async def temporary_schema(self, deadline: float) -> str:
        raise AssertionError(deadline)

    async def catch_up(self, deadline: float, attempt: int) -> None:
        raise AssertionError(attempt)

    async def ask_catalogs(
        self, execution: Execution, settings: Settings, deadline: float
    ) -> tuple[Outcome, tuple[SetSetting, ...]]:
        raise AssertionError(execution)

    async def run_locally(self, execution: Execution, deadline: float) -> Outcome:
        raise AssertionError(execution)

    def keep(self, stream: RowStream) -> None:
        raise AssertionError(stream)


def begun(shards: Shards) -> Transactions:
    """A block with one write in it."""
    transactions = Transactions(Host(shards))
    transactions.begin(Modes())
    block = transactions.block
    assert block is not None
    block.branch("shard-1").took(Ran(SQL), GUARDS, ONE, quick=True, is_write=True)
    return transactions


async def commit(transactions: Transactions) -> str:
    """The tag, or the SQLSTATE."""
    deadline = asyncio.get_running_loop().time() + 10.0
    try:
        return (await transactions.run(COMMIT, deadline)).tag
    except RouterError as exc:
        error = exc
    assert error.definite == (error.sqlstate != "08007")
    assert bool(error.hint) or error.sqlstate == "57014"
    return error.sqlstate


@pytest.mark.parametrize(
    ("replies", "said"),
    [
        ([DONE], "COMMIT"),
        ([DIFFERS], "40001"),
        ([Stale("table:t", 2, 1)], "40001"),
        ([Cut, DONE], "COMMIT"),
        ([UnknownOutcome("the office is lost"), DIFFERS, Aborted()], "40001"),
        ([UnknownOutcome("the office is lost"), DIFFERS, DONE], "COMMIT"),
        ([UnknownOutcome("the office is lost"), DIFFERS, DIFFERS], "40001"),
    ],
)
def test_a_commit_is_sent_again_as_the_same_command(replies: list[Reply], said: str) -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            n1.plays(*replies)
            transactions = begun(shards)
            assert await commit(transactions) == said
            assert transactions.block is None
            writes = n1.of(Write)
            assert len(set(map(repr, writes))) == 1
            assert writes[0].guards == GUARDS
            assert len(writes[0].transaction.steps) == 1

    run(scenario())


@pytest.mark.parametrize(
    ("fence", "said"), [(DONE, "COMMIT"), (DIFFERS, "40001"), (Aborted(), "57014"), (Hold, "08007")]
)
def test_a_commit_without_an_answer_is_fenced_inside_its_deadline(fence: Reply, said: str) -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            n1.plays(Hold, fence)
            transactions = begun(shards)
            work = asyncio.create_task(commit(transactions))
            await n1.until_got(2)  # the session, the commit
            advance(9.0)
            await n1.until_got(3)
            assert len(n1.of(Fence)) == 1
            if fence is Hold:
                advance(1.0)
            assert await work == said
            assert transactions.block is None

    run(scenario())


def test_steps_are_sent_when_they_are_few_or_asked_for() -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            n1.plays(Speculated(ONE), NotOpen())
            block = Block(b"id", 1, 2, Settings())
            branch = block.branch("shard-1")
            deadline = asyncio.get_running_loop().time() + 10.0

            def asked(*, whole: bool = False) -> Speculate:
                return branch.request(Ran(large), GUARDS, quick=True, whole=whole)

            large = Statement("UPDATE t SET name = ?1", ("x" * 10_000,))
            for count in (1, 2):
                assert len(asked().transaction.steps) == count
                branch.took(Ran(large), GUARDS, ONE, quick=True, is_write=True)
            block.savepoint("s", Settings())
            assert len(asked().transaction.steps) == 2  # the mark, and the statement
            assert asked().base
            whole = asked(whole=True)
            assert (len(whole.transaction.steps), whole.base) == (4, b"")
            assert await shards.speculate("shard-1", whole, deadline) == Stepped(ONE)
            assert await shards.speculate("shard-1", asked(), deadline) == NotOpen()

    run(scenario())
