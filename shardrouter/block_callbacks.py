"""What a client mostly does in a block, without a task: a statement of one shard, and the end.

Callbacks from `submit` to `done`, as for a statement without a block (`shardrouter.session`). All
else takes `Transactions.run`, as does what turns out to take more than one answer; what either of
them does to the block is the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, TypeAlias

from nodes.protocol import Lock, NotOpen, Stale, StatementResult
from shardrouter.block import Block
from shardrouter.block_steps import BlockSteps
from shardrouter.errors import RouterError
from shardrouter.execution import (
    Command,
    Execution,
    Outcome,
    SeveralShards,
    command_of,
    is_current,
    outcome_of,
)
from shardrouter.planned import EndBlock, OneShard
from shardrouter.settings import Settings
from shardrouter.shard_writes import Cancel
from shardrouter.shards import Stepped
from shardrouter.transaction_host import Host
from shardrouter.turn import Turn
from shardrouter.verdicts import canceled

__all__ = ["BlockCallbacks", "Done"]

Done: TypeAlias = Callable[[Outcome | RouterError | None], None]
"""None: nothing was done, and it takes `Transactions.run`."""


class Blocks(Protocol):
    """The transactions of a session: see `shardrouter.transactions`."""

    block: Block | None

    def lock(self, plan: OneShard, command: Command) -> Lock | None: ...

    def leave(self, block: Block) -> None: ...

    def left(self, block: Block) -> None: ...

    def ended(self, block: Block, before: Settings, *, commits: bool) -> Outcome: ...


class BlockCallbacks:
    """Of one session; `turn` is that of its statements."""

    def __init__(self, host: Host, steps: BlockSteps, turn: Turn, blocks: Blocks) -> None:
        self._host = host
        self._steps = steps
        self._turn = turn
        self._blocks = blocks

    def submit(self, execution: Execution, deadline: float, done: Done) -> Cancel | None:
        """`Transactions.run`; `done` is called exactly once, later. Returns what ends it early, by
        a `done` all the same, perhaps from within; None: nothing was done, it takes `run`."""
        block, plan = self._blocks.block, execution.prepared.plan
        if block is None or block.implicit or block.draft is not None or not self._turn.take():
            return None
        cancel: Cancel | None = None
        try:
            if type(plan) is OneShard:
                cancel = self._statement(block, plan, execution, deadline, done)
            elif type(plan) is EndBlock:
                cancel = self._end(block, plan, deadline, done)
        finally:
            if cancel is None:
                self._turn.free()
        return cancel

    def _statement(
        self, block: Block, plan: OneShard, execution: Execution, deadline: float, done: Done
    ) -> Cancel | None:
        host, prepared = self._host, execution.prepared
        settings, catalog = host.settings, host.schema.catalog
        is_write, locking = plan.is_write, plan.locking
        if (
            block.failed
            or settings.temporary
            or plan.spread
            or plan.draws
            or plan.numbers is not None
            or (execution.stream and not (plan.quick or is_write or locking))
            or (settings.read_only and (is_write or locking))
            or prepared.search_path != settings.search_path
            or not is_current(plan, catalog)
        ):
            return None
        try:
            command = command_of(plan, execution, catalog)
        except (SeveralShards, RouterError):
            return None
        is_over = False

        def answered(answer: Stepped | Stale | NotOpen | RouterError) -> None:
            nonlocal is_over
            is_over = True
            self._turn.free()
            if isinstance(answer, Stepped):
                result = answer.outcome
                assert isinstance(result, StatementResult), "a failure is an error"
                done(outcome_of(plan, execution, result))
            elif isinstance(answer, RouterError):
                block.failed = True
                done(answer)
            else:
                done(None)

        stop = self._steps.submit(
            block,
            command,
            quick=plan.quick,
            is_write=is_write,
            deadline=deadline,
            lock=self._blocks.lock(plan, command),
            done=answered,
        )
        if stop is None:
            return None

        def cancel() -> None:
            nonlocal is_over
            if not is_over:
                is_over = True
                stop()
                block.failed = True
                self._turn.free()
                done(canceled())

        return cancel

    def _end(self, block: Block, plan: EndBlock, deadline: float, done: Done) -> Cancel | None:
        host = self._host
        before = host.settings
        commits = plan.commit and not block.failed
        if plan.chain or before.temporary or host.sequences.has_news:
            return None

        def ended(error: RouterError | None) -> None:
            self._blocks.left(block)
            self._turn.free()
            done(error or self._blocks.ended(block, before, commits=commits))

        cancel: Cancel | None = _nothing_to_cancel
        if not (commits and block.participants):
            asyncio.get_running_loop().call_soon(ended, None)
        else:
            cancel = self._steps.submit_commit(block, deadline, ended)
        if cancel is not None:
            self._blocks.leave(block)
        return cancel


def _nothing_to_cancel() -> None:
    """It is over already."""
