"""The steps of a block on their way: each statement to the leader of its shard, which runs it
without keeping it; ahead of that what is large; the COMMIT into the log (docs/transactions.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial
from typing import Final, TypeAlias, TypeVar

from msgspec import structs

from nodes.protocol import (
    Defined,
    Guard,
    Lock,
    NotOpen,
    Ran,
    SqlFailure,
    Stale,
    Statement,
    StatementResult,
)
from nodes.stage_content import ITEM_BYTES_MAX
from shardrouter.block import (
    Block,
    serialization_failure,
    transaction_too_large,
)
from shardrouter.branch import ASKED_BYTES_MAX, HELD_BYTES_MAX, Branch
from shardrouter.coordination import LEADER_S, Part
from shardrouter.errors import OutcomeUnknown, RouterError, StatementError
from shardrouter.execution import (
    Command,
)
from shardrouter.rows_upload import RowsUpload
from shardrouter.schema_change import UNDONE
from shardrouter.shard_writes import Cancel
from shardrouter.shards import Outcome as ShardOutcome
from shardrouter.shards import Stepped, is_large
from shardrouter.tied import tied_tables
from shardrouter.transaction_answers import in_failed_block
from shardrouter.transaction_host import Host
from shardrouter.upload import Upload
from shardrouter.verdicts import sql_error

__all__ = ["BLOCK_REPLANS_MAX", "BlockSteps", "all_of", "results_of"]

T = TypeVar("T")

_Asked: TypeAlias = tuple[Branch, Ran | Defined, tuple[Guard, ...]]

STEP_BYTES_MAX: Final = 1024 * 1024
"""Of a statement that is sent with its parameters."""

BLOCK_REPLANS_MAX: Final = 50
"""How often a statement is planned again because the shard says that its catalog is stale."""


class BlockSteps:
    """Of the blocks of one session."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._uploads: list[Upload] = []  # of what the block has sent ahead
        self._steps_ahead: dict[str, Upload] = {}  # by shard: those that have its steps

    async def run(
        self,
        block: Block,
        commands: Sequence[Command],
        *,
        quick: bool,
        is_write: bool,
        deadline: float,
        lock: Lock | None = None,
        stream: bool = False,
        alike: bool = False,
    ) -> list[Stepped] | Stale:
        """A statement of the block: what each of its shards answers, which from now on the block
        stands and falls with. `alike`: it is on every shard, and does not wait for one without a
        leader. Stale: nothing of it has run, for the catalog has to be read again.
        Raises RouterError; then the block has failed."""
        asked: list[_Asked] = []
        for command in commands:
            branch = block.branch(command.shard)
            statement = command.statement
            if is_large(statement, STEP_BYTES_MAX):
                statement = await self._parameters_ahead(branch, statement)
            asked.append((branch, Ran(statement, stream=stream), block.published(command.guards)))
        return await self._step(
            block,
            asked,
            quick=quick,
            is_write=is_write,
            deadline=deadline,
            lock=lock,
            patience_s=LEADER_S if alike else 0.0,
        )

    async def define(
        self,
        block: Block,
        steps: Iterable[tuple[str, Defined, tuple[Guard, ...]]],
        deadline: float,
    ) -> list[Stepped] | Stale:
        """A change of the schema, with what it does on each of its shards; the same."""
        asked: list[_Asked] = [(block.branch(shard), step, guards) for shard, step, guards in steps]
        return await self._step(block, asked, quick=False, is_write=True, deadline=deadline)

    async def _step(
        self,
        block: Block,
        asked: Sequence[_Asked],
        *,
        quick: bool,
        is_write: bool,
        deadline: float,
        lock: Lock | None = None,
        patience_s: float = 0.0,
    ) -> list[Stepped] | Stale:
        answers = await all_of(
            self.speculate(
                block,
                branch,
                step,
                guards,
                quick=quick,
                deadline=deadline,
                lock=lock,
                is_write=is_write,
                patience_s=patience_s,
            )
            for branch, step, guards in asked
        )
        return self._taken(block, asked, answers, quick=quick, is_write=is_write)

    @staticmethod
    def _taken(
        block: Block,
        asked: Sequence[_Asked],
        answers: Sequence[Stepped | Stale],
        *,
        quick: bool,
        is_write: bool,
    ) -> list[Stepped] | Stale:
        """What the answers are for the block. Raises RouterError."""
        for answer in answers:
            if isinstance(answer, Stale):
                if block.guards_on(answer.object):
                    raise serialization_failure("a concurrent schema change")
                return answer
        steps = [answer for answer in answers if isinstance(answer, Stepped)]
        for (branch, step, guards), stepped in zip(asked, steps, strict=True):
            outcome, digest = stepped.outcome, stepped.digest
            branch.took(step, guards, outcome, quick=quick, is_write=is_write, digest=digest)
        for (branch, _, _), stepped in zip(asked, steps, strict=True):
            if isinstance(stepped.outcome, SqlFailure):
                error = sql_error(stepped.outcome)
                error.shard = branch.shard
                raise error
        return steps

    def submit(
        self,
        block: Block,
        command: Command,
        *,
        quick: bool,
        is_write: bool,
        deadline: float,
        lock: Lock | None,
        done: Callable[[Stepped | Stale | NotOpen | RouterError], None],
    ) -> Cancel | None:
        """`run`, of one shard and without a task; `done` is called once, later. NotOpen: nothing
        has run, and something is to be sent ahead, which takes `run`. Returns what ends it early,
        with no `done` and no trace in the block; None: it takes `run` from the beginning."""
        statement, shards = command.statement, self._host.shards
        branch = block.branch(command.shard)
        if (
            is_large(statement, STEP_BYTES_MAX)
            or block.size > shards.transaction_bytes_max
            or branch.holds_more_than(HELD_BYTES_MAX)
        ):
            return None
        step, guards = Ran(statement), block.published(command.guards)
        stop: Cancel
        is_over = False

        def ask(*, whole: bool) -> None:
            nonlocal stop
            asked = branch.request(
                step, guards, quick=quick, whole=whole, lock=lock, is_write=is_write
            )
            if lock_ms := shards.lock_ms:
                asked = structs.replace(asked, lock_ms=lock_ms)
            stop = shards.submit_step(branch.shard, asked, deadline, answered)

        def answered(answer: Stepped | Stale | NotOpen | RouterError) -> None:
            if is_over:
                return
            if isinstance(answer, NotOpen) and not branch.holds_more_than(ASKED_BYTES_MAX):
                ask(whole=True)
                return
            if isinstance(answer, Stepped | Stale):
                asked = [(branch, step, guards)]
                try:
                    self._taken(block, asked, [answer], quick=quick, is_write=is_write)
                except RouterError as exc:
                    done(exc)
                    return
            done(answer)

        try:
            ask(whole=False)
        except StatementError:  # it is too large: `run` says so
            return None

        def cancel() -> None:
            nonlocal is_over
            is_over = True
            stop()

        return cancel

    async def speculate(
        self,
        block: Block,
        branch: Branch,
        step: Ran | Defined,
        guards: tuple[Guard, ...],
        *,
        quick: bool,
        deadline: float,
        lock: Lock | None = None,
        is_write: bool,
        patience_s: float = 0.0,
    ) -> Stepped | Stale:
        """What the leader answers to the next statement, when it has all that came before."""
        host, loop = self._host, asyncio.get_running_loop()
        whole = False
        while True:
            if block.size > host.shards.transaction_bytes_max:
                raise transaction_too_large(host.shards.transaction_bytes_max)
            if branch.holds_more_than(ASKED_BYTES_MAX if whole else HELD_BYTES_MAX):
                await self._send_ahead(branch)
                whole = True  # its entry has taken the file from what was open
            asked = branch.request(
                step, guards, quick=quick, whole=whole, lock=lock, is_write=is_write
            )
            if host.shards.lock_ms:
                asked = structs.replace(asked, lock_ms=host.shards.lock_ms)
            began = loop.time()
            answer = await host.shards.speculate(
                branch.shard, asked, deadline, patience_s=patience_s
            )
            if isinstance(answer, Stepped) and answer.stream is not None:
                branch.large_reads_s += loop.time() - began
            if not isinstance(answer, NotOpen):
                return answer
            whole = True

    async def copy(
        self, block: Block, commands: Sequence[Command], upload: RowsUpload, deadline: float
    ) -> None:
        """Write rows that were sent ahead; they are kept as long as the block is, also if it is
        refused: ROLLBACK TO may save the block, and COMMIT then runs the refused step again.
        Raises RouterError; then the block has failed."""
        self.keep(upload.hand_over())
        try:
            if block.failed:
                raise in_failed_block()
            # However many they are, it is a row at a time.
            found = await self.run(block, commands, quick=True, is_write=True, deadline=deadline)
            if isinstance(found, Stale):
                raise serialization_failure("a concurrent schema change")
        except BaseException:
            block.failed = True
            raise

    def keep(self, uploads: Sequence[Upload]) -> None:
        """What was sent ahead for a step of the block, which is kept as long as that is."""
        self._uploads += uploads

    # ------------------------------------------------------------------ sent ahead

    async def _send_ahead(self, branch: Branch) -> None:
        """The steps so far into a stage: too many to send with every statement, or for an entry.
        Raises RouterError; then they can be sent no more."""
        host = self._host
        upload = self._steps_ahead.get(branch.shard)
        if upload is None:
            timeout_s = host.settings.statement_timeout_s
            upload = Upload(host.shards, branch.shard, timeout_s, item="statement")
            self._steps_ahead[branch.shard] = upload
            self._uploads.append(upload)
        upload.add(branch.held)
        staged = await upload.finish()
        assert staged is not None, "there are steps"
        branch.sent_ahead(staged)

    async def _parameters_ahead(self, branch: Branch, statement: Statement) -> Statement:
        """The statement, its parameters in a stage of their own: it is run once, with them. So
        that steps are small, and may be sent again."""
        host = self._host
        timeout_s = host.settings.statement_timeout_s
        upload = Upload(
            host.shards, branch.shard, timeout_s, item="statement", item_bytes_max=ITEM_BYTES_MAX
        )
        self._uploads.append(upload)
        upload.add([statement.parameters])
        staged = await upload.finish()
        return Statement(statement.sql, columns=statement.columns, staged=staged)

    # ------------------------------------------------------------------ its end

    async def commit(self, block: Block, deadline: float) -> None:
        """Into the log of its shard, or over several by a two-phase commit. Raises RouterError."""
        participants = block.participants
        for branch in participants:
            if not branch.fits_an_entry:
                await self._send_ahead(branch)
        deadline += sum(upload.apply_s for upload in self._uploads)
        if len(participants) > 1 or (block.draft is not None and block.draft.changes):
            await self._commit_over(block, participants, deadline)
            return
        [branch] = participants
        transaction, guards = branch.transaction()
        answer = await self._host.shards.write(
            branch.shard,
            (),
            guards,
            (UNDONE,) if branch.defines else (),
            quick=branch.is_quick and not branch.defines,
            bounded=branch.is_bounded,
            deadline=deadline,
            transaction=transaction,
        )
        if isinstance(answer, Stale):
            raise serialization_failure("a concurrent schema change")

    def submit_commit(
        self, block: Block, deadline: float, done: Callable[[RouterError | None], None]
    ) -> Cancel | None:
        """`commit` of a block that has to do with one shard and has changed no schema, without a
        task; `done` is called exactly once, later. Returns what ends it early, as that of
        `Shards.write`; None: it takes `commit`."""
        participants = block.participants
        if len(participants) != 1 or block.draft is not None or self._uploads:
            return None
        [branch] = participants
        if not branch.fits_an_entry or branch.defines:
            return None

        def answered(answer: ShardOutcome) -> None:
            if isinstance(answer, Stale):
                done(serialization_failure("a concurrent schema change"))
            else:
                done(answer if isinstance(answer, RouterError) else None)

        transaction, guards = branch.transaction()
        return self._host.shards.submit_write(
            branch.shard,
            (),
            guards,
            (),
            branch.is_quick,
            deadline,
            answered,
            transaction,
            bounded=branch.is_bounded,
        )

    async def _commit_over(
        self, block: Block, participants: Sequence[Branch], deadline: float
    ) -> None:
        parts = {}
        for branch in participants:
            transaction, guards = branch.transaction()
            parts[branch.shard] = Part(
                guards=guards,
                sets=(UNDONE,) if branch.defines else (),
                transaction=transaction,
                quick=branch.is_quick and not branch.defines,
                bounded=branch.is_bounded,
                tied=self._tied(block, branch),
                patience_ms=branch.patience_ms,
            )
        host = self._host
        # Of the leaders that answer, the one that has answered last is most likely there.
        anchor = host.shards.anchor([branch.shard for branch in participants])
        try:
            if block.draft is not None and block.draft.changes:
                numbers = host.sequences.drafted_numbers(block.draft)
                commit = partial(host.shards.commit, block.now_us)
                await host.schema.commit(block.draft, parts, commit, numbers, deadline)
                self._uploads.clear()
                return
            answer = await host.shards.commit(block.now_us, parts, anchor, deadline)
        except OutcomeUnknown:
            self._uploads.clear()  # as below, perhaps
            raise
        if isinstance(answer, Stale):
            raise serialization_failure("a concurrent schema change")
        # What was sent ahead goes with the outcome, which the shards may hear of later than here.
        self._uploads.clear()

    def _tied(self, block: Block, branch: Branch) -> tuple[str, ...]:
        """What foreign keys tie to its tables, and to those that it changes, as they were and as
        they are to be."""
        catalogs, names = [self._host.catalog], set(branch.tables)
        if block.draft is not None:
            catalogs.append(block.draft.base)
            names.update(moved.name for change in block.draft.changes for moved in change.tables)
        return tuple(sorted({tied for each in catalogs for tied in tied_tables(each, names)}))

    def forget(self) -> None:
        """The block is over. What it wrote of them is written, or is not any more."""
        for upload in self._uploads:
            upload.abandon()
        self._uploads.clear()
        self._steps_ahead.clear()


async def all_of(work: Iterable[Coroutine[None, None, T]]) -> list[T]:
    """Side by side; all have ended when this does. Raises what the first of them raised."""
    each = list(work)
    if len(each) == 1:
        return [await each[0]]
    found = await asyncio.gather(*each, return_exceptions=True)
    for answer in found:
        if isinstance(answer, BaseException):
            raise answer
    return [answer for answer in found if not isinstance(answer, BaseException)]


def results_of(steps: Sequence[Stepped]) -> list[StatementResult]:
    """Of a statement that has not failed."""
    return [step.outcome for step in steps if isinstance(step.outcome, StatementResult)]
