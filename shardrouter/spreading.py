"""A write over several shards: what each of them is sent, and what their answers come to.

Pure. The shards run their commands as parts of one transaction (docs/distributed.md).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from msgspec import structs

from nodes.protocol import Guard, Statement, StatementResult, Value
from nodes.values import slot_finder
from shardrouter.catalog import Catalog
from shardrouter.errors import StatementError
from shardrouter.execution import (
    Command,
    Execution,
    Outcome,
    SeveralShards,
    command_of,
    outcome_of,
    rows_outcome,
)
from shardrouter.plan import bind, value_of
from shardrouter.planned import OneShard, SplitRows

__all__ = ["commands_of", "merged_outcome"]

_PARAMETER: Final = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|\?(\d+)""")
"""A parameter of SQLite's text, or what only may look like one."""


def commands_of(plan: OneShard, execution: Execution, catalog: Catalog) -> list[Command]:
    """A command for each shard that may have rows of the statement, in the order of their rows if
    it has some. Raises what `command_of` does."""
    try:
        return [command_of(plan, execution, catalog)]
    except SeveralShards:
        pass
    # Rows are answered as values: they are put in order, and encoded once.
    arguments = (*bind(plan, execution.arguments), *execution.drawn)
    if plan.split is not None:
        return _split_commands(plan, plan.split, arguments, catalog)
    statement = Statement(plan.sql, arguments)
    if not plan.keys:
        return [Command(shard, statement, plan.guards) for shard in catalog.shards]
    guards: dict[str, dict[Guard, None]] = {}
    for operand in plan.keys:
        value = value_of(operand, arguments)
        if value is not None:
            shard, owner = catalog.owner(slot_finder(plan.key_type)(value))
            guards.setdefault(shard, dict.fromkeys(plan.guards))[owner] = None
    return [Command(shard, statement, tuple(some)) for shard, some in guards.items()]


def _split_commands(
    plan: OneShard, split: SplitRows, arguments: tuple[Value, ...], catalog: Catalog
) -> list[Command]:
    """The rows of each shard."""
    rows: dict[str, list[str]] = {}
    guards: dict[str, dict[Guard, None]] = {}
    owners = [catalog.owner(slot) for slot in _key_slots(plan, arguments)]
    for place, text in split.rows:
        shard, owner = owners[place]
        rows.setdefault(shard, []).append(text)
        guards.setdefault(shard, dict.fromkeys(plan.guards))[owner] = None
    commands = []
    for shard, texts in rows.items():
        sql = f"{split.head}{', '.join(texts)}{split.tail}{split.returned_key}"
        commands.append(Command(shard, _renumbered(sql, arguments), tuple(guards[shard])))
    return commands


def _key_slots(plan: OneShard, arguments: tuple[Value, ...]) -> list[int]:
    """Of each of the plan's keys, none of which is NULL: `command_of` has seen them."""
    find = slot_finder(plan.key_type)
    return [find(value_of(operand, arguments)) for operand in plan.keys]


def _renumbered(sql: str, arguments: tuple[Value, ...]) -> Statement:
    """With those of the arguments that the text has, and no others: SQLite takes no more."""
    numbers: dict[int, int] = {}

    def renumber(found: re.Match[str]) -> str:
        if found[1] is None:
            return found[0]
        return f"?{numbers.setdefault(int(found[1]), len(numbers) + 1)}"

    text = _PARAMETER.sub(renumber, sql)
    return Statement(text, tuple(arguments[number - 1] for number in numbers))


def merged_outcome(
    plan: OneShard, execution: Execution, results: Sequence[StatementResult], catalog: Catalog
) -> Outcome:
    """What the answers to `commands_of` come to, in the same order."""
    if plan.spread == "alike":
        first = results[0]
        if any(other != first for other in results):
            raise StatementError(
                f'the shards do not have the same rows of "{plan.tables[0][0]}"',
                sqlstate="XX001",
                hint="Compare them: `shardrouter verify`.",
            )
        results = [first]
    elif len(results) == 1:
        return outcome_of(plan, execution, results[0])
    count = sum(result.row_count for result in results)
    if not plan.columns:
        return Outcome(plan.tag_of(count), count)
    rows = [row for result in results for row in result.values]
    if plan.split is not None:
        rows = _in_order(plan, plan.split, execution, results, catalog)
    return structs.replace(
        rows_outcome(plan.tag_of(count), execution, rows, plan.columns), row_count=count
    )


def _in_order(
    plan: OneShard,
    split: SplitRows,
    execution: Execution,
    results: Sequence[StatementResult],
    catalog: Catalog,
) -> list[tuple[Value, ...]]:
    """Rows that were inserted, in the order in which they were written; each shard's are."""
    arguments = (*bind(plan, execution.arguments), *execution.drawn)
    find = slot_finder(plan.key_type)
    key_slots = _key_slots(plan, arguments)
    places: dict[str, list[int]] = {}  # of the rows that each shard was sent
    for at, (place, _) in enumerate(split.rows):
        places.setdefault(catalog.owner(key_slots[place])[0], []).append(at)
    found: list[tuple[int, tuple[Value, ...]]] = []
    for sent, result in zip(places.values(), results, strict=True):
        left = iter(sent)
        for row in result.values:
            at = next(left)
            if split.returned_key:  # some may have been passed over
                slot = find(row[-1])
                while key_slots[split.rows[at][0]] != slot:
                    at = next(left)
                row = row[:-1]
            found.append((at, row))
    return [row for _, row in sorted(found, key=lambda each: each[0])]
