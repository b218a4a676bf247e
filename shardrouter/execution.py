"""What is executed and what came of it, as values; and the pure steps between the two.

From a prepared statement and its arguments to the command of a shard, from a shard's answer to
a client's outcome. No I/O: `shardrouter.session` carries the commands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Final, Protocol

import msgspec
from msgspec import structs

from nodes.protocol import (
    Guard,
    OutputColumn,
    Statement,
    StatementResult,
    Value,
)
from nodes.values import ValueFormatError, encode_data_rows
from shardrouter import types
from shardrouter.catalog import Catalog, home_guard
from shardrouter.errors import StatementError
from shardrouter.levels import HINT_BEGINS, Hint, Level, hint_in
from shardrouter.plan import bind, slots
from shardrouter.planned import (
    CopyFrom,
    CopyTo,
    DeclareCursor,
    ExplainRoute,
    Fragment,
    Merge,
    OneShard,
    Plan,
    ResultColumn,
    RowsWrite,
    Scatter,
    SetSetting,
)
from shardrouter.python_values import from_stored
from shardrouter.settings import Settings
from shardrouter.tables import PUBLIC

__all__ = [
    "changes_search_path",
    "Prepared",
    "Execution",
    "MoreRows",
    "Notice",
    "Outcome",
    "Command",
    "SeveralShards",
    "command_of",
    "count_command",
    "is_counted",
    "is_uncounted",
    "encoded_rows",
    "is_current",
    "outcome_of",
    "piece_outcome",
    "rows_outcome",
    "scatter_commands",
    "scattered_outcome",
]

OUTPUTS_MAX: Final = 1024
"""Tuples of output columns kept, one per distinct columns and formats."""

PLAN_OUTPUTS_MAX: Final = 8
"""Of them kept with one plan."""


@dataclass(frozen=True)
class Prepared:
    """A statement that was understood: its plan, and what a client is told of it."""

    text: str
    plan: Plan
    parameter_oids: tuple[int, ...]
    columns: tuple[ResultColumn, ...]
    search_path: tuple[str, ...] = (PUBLIC,)
    """Where its names were looked for."""
    bound: tuple[Value, ...] | None = None
    """What EXECUTE gives, or was written out in the text: then the client has none to give."""
    cut_names: tuple[tuple[str, str], ...] = ()
    """Names of the text that were too long, and what is left of them."""
    may_hint: bool = field(init=False, compare=False, repr=False)
    """Else its text has no `hint`: known without asking for one."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "may_hint", HINT_BEGINS in self.text)

    @cached_property
    def hint(self) -> Hint | None:
        """The level of consistency that its text asks for. Raises StatementError 22023."""
        return hint_in(self.text)

    def level(self, settings: Settings) -> Level:
        """At which it reads in a session with these settings. Raises StatementError 22023."""
        return settings.consistency if self.hint is None else settings.hinted(self.hint)


class Execution(msgspec.Struct, frozen=True, gc=False):
    """A prepared statement with its arguments, already Python values of its parameter types."""

    prepared: Prepared
    arguments: tuple[Value, ...] = ()
    formats: tuple[bool, ...] | None = None
    """Per column whether binary, and rows are answered as DataRow messages; None: as values."""
    drawn: tuple[Value, ...] = ()
    """A number for each of the plan's `draws`, or what was drawn for its `numbers`."""
    stream: bool = False
    """Many rows may be answered as a few and a `MoreRows`."""
    stored: bool = False
    """Values are answered in their stored form, for who makes something else of them."""
    lasts: bool = False
    """A schema change that may take as long as its shards are at work on it."""
    read_as: tuple[int, ...] | None = None
    """If the arguments were read as values of these types, which are `types.are_read_whole`."""


class MoreRows(Protocol):
    """The rest of many rows, a piece at a time."""

    async def next(self) -> StatementResult | None:
        """Some rows more; None if there are none. Raises RouterError."""

    def cancel(self) -> None:
        """Who waits for `next` gets 57014."""

    def close(self) -> None:
        """Nobody wants more of it."""


@dataclass(frozen=True)
class Notice:
    """What a client is told besides the outcome."""

    message: str
    severity: str = "NOTICE"  # or WARNING, INFO
    sqlstate: str = "00000"
    detail: str = ""
    hint: str = ""


class Outcome(msgspec.Struct, frozen=True):
    """What one statement did, as a client is told."""

    tag: str  # "INSERT 0 1", "SELECT 2", "SET"
    row_count: int = 0
    rows: bytes = b""  # DataRow messages, if the execution has formats
    values: tuple[tuple[Value, ...], ...] = ()  # rows, if it has none
    notices: tuple[Notice, ...] = ()
    parameter_status: tuple[tuple[str, str], ...] = ()
    more: MoreRows | None = None  # then tag and row_count are of the first rows only


class Command(msgspec.Struct, frozen=True, gc=False):
    """One statement for one shard."""

    shard: str
    statement: Statement
    guards: tuple[Guard, ...]


# --------------------------------------------------------------------------- to the shards


class SeveralShards(Exception):
    """A write concerns several shards: `shardrouter.spreading` has what each of them is sent."""


def changes_search_path(plan: Plan) -> bool:
    """Whether names may mean something else behind it."""
    return isinstance(plan, SetSetting) and plan.name.lower() in ("search_path", "all")


def is_current(plan: Plan, catalog: Catalog) -> bool:
    """Whether `plan` was made for the tables as `catalog` knows them."""
    if type(plan) is not OneShard:
        if type(plan) is CopyFrom:
            plan = plan.insert
        elif isinstance(plan, CopyTo | DeclareCursor | ExplainRoute):
            plan = plan.plan
        if not isinstance(plan, OneShard | Scatter | RowsWrite):
            return True
    if type(plan) is OneShard and plan.shards and plan.shards != len(catalog.shards):
        return False
    tables = catalog.tables
    for name, version in plan.tables:
        table = tables.get(name)
        if table is None or table.version != version:
            return False
    return True


def command_of(plan: OneShard, execution: Execution, catalog: Catalog) -> Command:
    """The command for the one shard that owns all slots of the statement's keys, or the home.

    Raises StatementError for arguments that are not of their types, SeveralShards if the keys of a
    write are on several.
    """
    if plan.bounds:
        arguments = bind(plan, execution.arguments)
    elif execution.read_as == plan.parameter_oids:  # nearly always
        arguments = execution.arguments
    else:  # the same, without the calls
        arguments = types.check_arguments(plan.parameter_oids, execution.arguments)
    if execution.drawn:
        arguments += execution.drawn
    outputs = plan.outputs.get(execution.formats)
    if outputs is None:
        outputs = _outputs_of(plan, execution.formats)
    statement = Statement(plan.sql, arguments, outputs)
    pin = plan.pin
    if pin is not None:  # nearly always: what `slots` would find
        key = arguments[pin[0]]
        if key is not None:
            slot = pin[1](key)
            shard, owner = catalog.owned.get(slot) or catalog.owner(slot)
            return Command(shard, statement, (*plan.guards, owner))
    if not plan.keys:
        if plan.spread:
            raise SeveralShards
        return Command(catalog.home, statement, (*plan.guards, home_guard(catalog)))
    # Keys that are all NULL match no row anywhere: any shard may say so.
    named = slots(plan, arguments) or (0,)
    owners = [catalog.owner(slot) for slot in named]
    shard = owners[0][0]
    if any(other != shard for other, _ in owners):
        assert plan.is_write, "a query of several keys is no OneShard"
        raise SeveralShards
    return Command(shard, statement, (*plan.guards, *(guard for _, guard in owners)))


def is_counted(execution: Execution) -> bool:
    """Whether it has to be known how many rows the statement inserts before it is sent."""
    plan = execution.prepared.plan
    return isinstance(plan, OneShard) and plan.numbers is not None and plan.numbers.rows is None


def is_uncounted(execution: Execution) -> bool:
    """Whether that is not known yet."""
    return is_counted(execution) and not execution.drawn


def count_command(plan: OneShard, execution: Execution, catalog: Catalog) -> Command:
    """The command that counts the rows of an INSERT from a query."""
    assert plan.numbers is not None
    counting = replace(plan, tag="SELECT", sql=plan.numbers.count, columns=(), numbers=None)
    return command_of(counting, structs.replace(execution, formats=None), catalog)


def scatter_commands(
    plan: Scatter, execution: Execution, catalog: Catalog, sent: tuple[Value, ...] = ()
) -> tuple[tuple[Value, ...], list[list[Command]]]:
    """The bound arguments, with those of a broadcast that are `sent`, and for each fragment a
    command for each shard that may have rows of it.

    Rows come back as values if they are merged or finished, and are encoded then; else as they
    leave. Where a fragment names keys, their slots are guarded, so that no row is missed that
    moved; without keys every shard is asked, under the guards of the tables that it has alone.
    """
    arguments = (*bind(plan, execution.arguments), *sent)
    passes = isinstance(plan.finish, Merge) and plan.finish.is_passing
    outputs = _outputs(plan.columns, execution.formats if passes else None)
    guards = {
        shard: [
            Guard(f"table:{name}", version)
            for name, version in plan.tables
            if shard in catalog.shards_of(catalog.tables[name])
        ]
        for shard in catalog.shards
    }
    return arguments, [
        _fragment_commands(fragment, arguments, outputs, guards, catalog)
        for fragment in plan.fragments
    ]


def _fragment_commands(
    fragment: Fragment,
    arguments: tuple[Value, ...],
    outputs: tuple[OutputColumn, ...],
    guards: dict[str, list[Guard]],
    catalog: Catalog,
) -> list[Command]:
    bound = tuple(arguments[n - 1] for n in fragment.parameters)
    statement = Statement(fragment.sql, bound, outputs)
    owners: dict[str, list[Guard]] = {}
    if fragment.where == "home":
        owners[catalog.home] = [home_guard(catalog)]
    elif fragment.where == "any":
        owners[catalog.home] = []
    elif not fragment.keys:
        owners = {shard: [] for shard in catalog.shards}
    else:
        for slot in slots(fragment, arguments) or (0,):
            shard, owner = catalog.owner(slot)
            owners.setdefault(shard, []).append(owner)
    return [Command(shard, statement, (*guards[shard], *own)) for shard, own in owners.items()]


def _outputs_of(plan: OneShard, formats: tuple[bool, ...] | None) -> tuple[OutputColumn, ...]:
    """Kept with the plan: a driver asks in one or two combinations of formats."""
    found = _outputs(plan.columns, formats)
    if len(plan.outputs) < PLAN_OUTPUTS_MAX:
        plan.outputs[formats] = found
    return found


@lru_cache(maxsize=OUTPUTS_MAX)
def _outputs(
    columns: tuple[ResultColumn, ...], formats: tuple[bool, ...] | None
) -> tuple[OutputColumn, ...]:
    if formats is None:
        return ()
    return tuple(
        OutputColumn(column.oid, binary) for column, binary in zip(columns, formats, strict=True)
    )


# --------------------------------------------------------------------------- to the client


def outcome_of(plan: OneShard, execution: Execution, result: StatementResult) -> Outcome:
    """The outcome of a statement that one shard ran."""
    count = result.row_count
    tag = plan.tags[count] if count <= 1 else plan.tag_of(count)
    values = result.values
    if values and execution.formats is None and not execution.stored:
        values = from_stored(values, plan.columns)
    return Outcome(tag, count, result.rows, values)


def piece_outcome(execution: Execution, result: StatementResult) -> Outcome:
    """The outcome of some of the rows of a SELECT."""
    values = result.values
    if values and execution.formats is None:
        values = from_stored(values, execution.prepared.columns)
    count = result.row_count
    return Outcome(f"SELECT {count}", count, result.rows, values)


def scattered_outcome(
    execution: Execution,
    columns: tuple[ResultColumn, ...],
    result: StatementResult,
    more: MoreRows | None = None,
) -> Outcome:
    """The outcome of a SELECT over several shards, or of its first rows."""
    values = result.values
    if values and execution.formats is None and not execution.stored:
        values = from_stored(values, columns)
    count = result.row_count
    return Outcome(f"SELECT {count}", count, result.rows, values, more=more)


def rows_outcome(
    tag: str,
    execution: Execution,
    rows: Sequence[tuple[Value, ...]],
    columns: tuple[ResultColumn, ...],
    notices: tuple[Notice, ...] = (),
) -> Outcome:
    """The outcome of a statement whose rows are at hand as values."""
    if execution.stored:
        return Outcome(tag, len(rows), values=tuple(rows), notices=notices)
    if execution.formats is None:
        return Outcome(tag, len(rows), values=from_stored(rows, columns), notices=notices)
    encoded = encoded_rows(rows, columns, execution.formats)
    return Outcome(tag, len(rows), encoded, notices=notices)


def encoded_rows(
    rows: Sequence[tuple[Value, ...]],
    columns: tuple[ResultColumn, ...],
    formats: tuple[bool, ...],
) -> bytes:
    """Rows in stored form as DataRow messages. Raises StatementError."""
    try:
        return encode_data_rows(rows, _outputs(columns, formats))
    except ValueFormatError as exc:
        raise StatementError(exc.message, sqlstate=exc.sqlstate) from exc
