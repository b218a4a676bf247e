"""Queries over several shards in a transaction: each fragment is a step of its shard's branch."""

from __future__ import annotations

from collections.abc import Sequence

from nodes.protocol import Stale
from shardrouter.asking import Part
from shardrouter.block import Block
from shardrouter.block_steps import BlockSteps, results_of
from shardrouter.execution import Command, Execution, Outcome
from shardrouter.gathering import Gathering, Limits, gather
from shardrouter.planned import Scatter
from shardrouter.transaction_host import Host

__all__ = ["BlockReads"]


class BlockReads:
    """Of one statement of a block."""

    def __init__(self, host: Host, block: Block, steps: BlockSteps, deadline: float) -> None:
        self._host = host
        self._block = block
        self._steps = steps
        self._deadline = deadline

    @property
    def limits(self) -> Limits:
        """Of what it may hold."""
        settings = self._host.settings
        return Limits(settings.finish_rows_max, settings.finish_bytes_max)

    async def ask(self, commands: Sequence[Command]) -> list[Part] | None:
        """What each command is answered; None if a shard says that the catalog is stale. Raises
        RouterError; then the block has failed."""
        steps = await self._steps.run(
            self._block,
            commands,
            quick=False,
            is_write=False,
            deadline=self._deadline,
            stream=True,
        )
        if isinstance(steps, Stale):
            return None
        results = results_of(steps)
        return [Part(result, step.stream) for result, step in zip(results, steps, strict=True)]

    async def gather(self, plan: Scatter, execution: Execution) -> Outcome | None:
        """The answer of a query; None as above."""
        host = self._host
        gathered = await gather(
            plan,
            execution,
            host.catalog,
            Gathering(
                self.ask,
                1,  # one step of a branch after the other
                host.keep,
                host.finishing,
                self.limits,
                self._deadline,
                self._block.now_us,
            ),
        )
        return None if gathered is None else gathered.outcome
