"""A unit of commit that writes: one command of one shard, or one transaction over several."""

from __future__ import annotations

import time
from collections.abc import Sequence

from nodes.protocol import Done, Stale, StatementResult
from shardrouter.catalog import Catalog
from shardrouter.coordination import LEADER_S, Part
from shardrouter.coordinator import Committed
from shardrouter.errors import OutcomeUnknown, RouterError
from shardrouter.execution import Command
from shardrouter.large_writes import part_of, write_statements
from shardrouter.shards import Shards
from shardrouter.tied import joined_guards, tables_in, tied_tables
from shardrouter.upload import Upload

__all__ = ["write_commands", "write_copied"]


async def write_commands(
    shards: Shards,
    catalog: Catalog,
    commands: Sequence[Sequence[Command]],
    ordinals: Sequence[int],
    *,
    bounded: bool,
    deadline: float,
    timeout_s: float,
    alike: bool,
) -> list[list[StatementResult]] | Stale:
    """The answers to the commands of each statement, all of which have happened; Stale: none has.
    Raises RouterError, whose `statement` is one of `ordinals`: those of the statements in their
    unit. `alike`: one of them changes a reference table, and does not wait for a shard without a
    leader."""
    by_shard: dict[str, list[tuple[int, Command]]] = {}
    for place, some in enumerate(commands):
        for command in some:
            by_shard.setdefault(command.shard, []).append((place, command))
    if len(by_shard) == 1:
        [(shard, own)] = by_shard.items()
        try:
            answer = await write_statements(
                shards,
                shard,
                [command.statement for _, command in own],
                joined_guards(command.guards for _, command in own),
                bounded=bounded,
                deadline=deadline,
                timeout_s=timeout_s,
            )
        except RouterError as exc:
            exc.statement = ordinals[exc.statement]
            raise
        if isinstance(answer, Stale):
            return answer
        return [[result] for result in answer.results]
    parts: dict[str, Part] = {}
    uploads: list[Upload] = []
    is_needed = False
    try:
        for shard, own in by_shard.items():
            guards = joined_guards(command.guards for _, command in own)
            part, upload = await part_of(
                shards,
                shard,
                [command.statement for _, command in own],
                guards,
                bounded=bounded,
                timeout_s=timeout_s,
            )
            if upload is not None:
                uploads.append(upload)
            parts[shard] = part._replace(
                tied=tied_tables(catalog, tables_in(guards)),
                ordinals=tuple(ordinals[place] for place, _ in own),
            )
        deadline += sum(upload.apply_s for upload in uploads)
        begun_us = time.time_ns() // 1000
        committed = await shards.commit(
            begun_us, parts, shards.anchor(parts), deadline, patience_s=LEADER_S if alike else 0.0
        )
        if isinstance(committed, Stale):
            return committed
        is_needed = True  # until the outcome is applied, which may be later than here
    except OutcomeUnknown:
        is_needed = True
        raise
    finally:
        if not is_needed:
            for upload in uploads:
                upload.abandon()
    results: list[list[StatementResult]] = [[] for _ in commands]
    left = {shard: iter(found) for shard, found in committed.results.items()}
    for place, some in enumerate(commands):
        for command in some:
            results[place].append(next(left[command.shard]))
    return results


async def write_copied(
    shards: Shards, catalog: Catalog, commands: Sequence[Command], *, deadline: float
) -> Done | Committed | Stale:
    """Rows that were sent ahead, a command for each shard that has some: all of them or none.
    Raises RouterError."""
    if len(commands) == 1:
        [command] = commands
        return await shards.write(
            command.shard, (command.statement,), command.guards, bounded=True, deadline=deadline
        )
    parts = {
        command.shard: Part(
            (command.statement,),
            command.guards,
            bounded=True,
            tied=tied_tables(catalog, tables_in(command.guards)),
        )
        for command in commands
    }
    begun_us = time.time_ns() // 1000
    return await shards.commit(begun_us, parts, shards.anchor(parts), deadline)
