"""The steps of a block on their way: each statement to the leader of its shard, which runs it
without keeping it; ahead of that what is large; the COMMIT into the log (docs/transactions.md).
"""

from __future__ import annotations

from typing import Final

from nodes.protocol import (
    Defined,
    Guard,
    Lock,
    NotOpen,
    Ran,
    SqlFailure,
    Stale,
    Statement,
)
from nodes.stage_content import ITEM_BYTES_MAX
from shardrouter.block import (
    ASKED_BYTES_MAX,
    HELD_BYTES_MAX,
    Block,
    serialization_failure,
    transaction_too_large,
)
from shardrouter.execution import (
    Command,
)
from shardrouter.schema_change import UNDONE
from shardrouter.shards import Stepped
from shardrouter.transaction_answers import in_failed_block
from shardrouter.transaction_host import Host
from shardrouter.upload import Upload
from shardrouter.verdicts import sql_error

__all__ = ["BLOCK_REPLANS_MAX", "STEP_BYTES_MAX", "BlockSteps"]

STEP_BYTES_MAX: Final = 1024 * 1024
"""Of a statement that is sent with its parameters."""

BLOCK_REPLANS_MAX: Final = 50
"""How often a statement is planned again because the shard says that its catalog is stale."""


class BlockSteps:
    """Of the blocks of one session."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._uploads: list[Upload] = []  # of what the block has sent ahead
        self._steps_ahead: Upload | None = None  # the one that has its steps

    async def speculate(
        self,
        block: Block,
        step: Ran | Defined,
        guards: tuple[Guard, ...],
        *,
        quick: bool,
        deadline: float,
        lock: Lock | None = None,
        is_write: bool,
    ) -> Stepped | Stale:
        """What the leader answers to the next statement, when it has all that came before."""
        host = self._host
        whole = False
        while True:
            if block.size > host.shards.transaction_bytes_max:
                raise transaction_too_large(host.shards.transaction_bytes_max)
            if block.holds_more_than(ASKED_BYTES_MAX if whole else HELD_BYTES_MAX):
                await self._send_ahead(block)
                whole = True  # its entry has taken the file from what was open
            asked = block.request(
                step, guards, quick=quick, whole=whole, lock=lock, is_write=is_write
            )
            answer = await host.shards.speculate(block.shard, asked, deadline)
            if not isinstance(answer, NotOpen):
                return answer
            whole = True

    async def copy(self, block: Block, command: Command, upload: Upload, deadline: float) -> None:
        """Write rows that were sent ahead; they are kept as long as the block is. Raises
        RouterError; then the block has failed."""
        self._uploads.append(upload)
        try:
            if block.failed:
                raise in_failed_block()
            block.move_to(command.shard)
            step, guards = Ran(command.statement), block.published(command.guards)
            answer = await self.speculate(
                block, step, guards, quick=False, deadline=deadline, is_write=True
            )
            if isinstance(answer, Stale):
                raise serialization_failure("a concurrent schema change")
            outcome = answer.outcome
            block.took(step, guards, outcome, quick=True, is_write=True)
            if isinstance(outcome, SqlFailure):
                raise sql_error(outcome)
        except BaseException:
            block.failed = True
            raise

    # ------------------------------------------------------------------ sent ahead

    async def _send_ahead(self, block: Block) -> None:
        """The steps so far into a stage: too many to send with every statement, or for an entry.
        Raises RouterError; then they can be sent no more."""
        host = self._host
        if self._steps_ahead is None:
            timeout_s = host.settings.statement_timeout_s
            self._steps_ahead = Upload(host.shards, block.shard, timeout_s, item="statement")
            self._uploads.append(self._steps_ahead)
        self._steps_ahead.add(block.held)
        staged = await self._steps_ahead.finish()
        assert staged is not None, "there are steps"
        block.sent_ahead(staged)

    async def parameters_ahead(self, block: Block, statement: Statement) -> Statement:
        """The statement, its parameters in a stage of their own: it is run once, with them. So
        that steps are small, and may be sent again."""
        host = self._host
        timeout_s = host.settings.statement_timeout_s
        upload = Upload(
            host.shards, block.shard, timeout_s, item="statement", item_bytes_max=ITEM_BYTES_MAX
        )
        self._uploads.append(upload)
        upload.add([statement.parameters])
        staged = await upload.finish()
        return Statement(statement.sql, columns=statement.columns, staged=staged)

    # ------------------------------------------------------------------ its end

    async def commit(self, block: Block, deadline: float) -> None:
        if not block.fits_an_entry:
            await self._send_ahead(block)
        transaction, guards = block.transaction()
        deadline += sum(upload.apply_s for upload in self._uploads)
        if block.draft is not None and block.draft.changes:
            numbers = self._host.sequences.drafted_numbers(block.draft)
            await self._host.schema.commit(block.draft, transaction, guards, numbers, deadline)
            return
        answer = await self._host.shards.write(
            block.shard,
            (),
            guards,
            (UNDONE,) if block.defines else (),
            quick=block.is_quick and not block.defines,
            bounded=block.is_bounded,
            deadline=deadline,
            transaction=transaction,
        )
        if isinstance(answer, Stale):
            raise serialization_failure("a concurrent schema change")

    def forget(self) -> None:
        """The block is over. What it wrote of them is written, or is not any more."""
        for upload in self._uploads:
            upload.abandon()
        self._uploads.clear()
        self._steps_ahead = None
