"""Plans as values: what runs where.

A plan holds no arguments: it is cached per statement text and bound to arguments with each
execution. In its SQLite text `?n` is the client's `$n`. `shardrouter.plan` makes them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field, replace
from typing import Literal, TypeAlias

import msgspec

from nodes.protocol import Guard, OutputColumn, Value
from nodes.values import BOOL, INT4, JSON, TEXT, slot_finder
from shardrouter.copying.columns import CopyColumn
from shardrouter.copying.options import CopyOptions
from shardrouter.definitions import Definition
from shardrouter.quick_dataclasses import dataclass
from shardrouter.role_statements import RoleStatement
from shardrouter.session_plans import (
    Begin,
    EndBlock,
    Modes,
    SavepointStep,
    SetModes,
    SetSetting,
    ShowSetting,
    TransactionControl,
)
from shardrouter.syntax import Name

__all__ = [
    "ResultColumn",
    "RowsStatement",
    "RowsWrite",
    "Constant",
    "Parameter",
    "Operand",
    "Reliance",
    "OrderKey",
    "Finish",
    "Fragment",
    "Merge",
    "OneShard",
    "Scatter",
    "SchemaChange",
    "SequenceCall",
    "SplitRows",
    "Spread",
    "Answer",
    "Broadcast",
    "CatalogQuery",
    "CopyFrom",
    "CopyTo",
    "CloseCursor",
    "Deallocate",
    "DeclareCursor",
    "ExplainRoute",
    "ExecuteStatement",
    "FetchRows",
    "PrepareStatement",
    "SetSetting",
    "Modes",
    "Begin",
    "EndBlock",
    "SavepointStep",
    "SetModes",
    "TransactionControl",
    "ShowSetting",
    "ShowTables",
    "ShowColumns",
    "Plan",
    "parameter_oids",
    "result_columns",
]


class ResultColumn(msgspec.Struct, frozen=True, gc=False):
    """A column of the answer."""

    name: str
    oid: int
    modifier: int = -1  # atttypmod; -1: none


@dataclass(frozen=True)
class Constant:
    """A value written in the statement, already of the type it is compared with."""

    value: Value


@dataclass(frozen=True)
class Parameter:
    """The client's $number (1-based); where it is assigned to a column with a modifier, made to
    fit by the node's function `fit`, as the text of the statement does."""

    number: int
    fit: str = ""
    modifier: int = -1


Operand: TypeAlias = Constant | Parameter


Reliance: TypeAlias = tuple[tuple[str, int], ...]
"""The tables a plan was made for, each with its version; a write's own is the first."""


@dataclass(frozen=True)
class RowNumbers:
    """What an INSERT from a query leaves to sequences: a number of each for every row. What was
    drawn of each is one parameter, behind those of the client."""

    sequences: tuple[str, ...]
    rows: int | None  # no more than these; None: as many as `count` answers
    count: str


@dataclass(frozen=True)
class SplitRows:
    """The rows of an INSERT of VALUES one by one, so that each shard is sent its own: the text
    before them, of each row, and behind them."""

    head: str
    rows: tuple[tuple[int, str], ...]  # the place of its key in the plan's, and its text
    tail: str
    returned_key: str = ""
    """What is added to RETURNING where not every row comes back: a key tells whose row it is."""


Spread: TypeAlias = Literal["", "every", "alike"]
"""A write without keys that is no home table's: on every shard to its own rows, or, of a
reference table, to the same rows and with the same answer."""


@dataclass(frozen=True)
class OneShard:
    """Runs whole on the shard that owns the slots of `keys`; without keys on the home shard. A
    write may concern several (`shardrouter.spreading`), then it is a transaction over them."""

    tag: str  # command tag without counts: INSERT, SELECT, UPDATE, DELETE
    tables: Reliance
    sql: str
    key_type: str  # PostgreSQL type of the shard key
    keys: tuple[Operand, ...]  # shard-key values the statement names
    quick: bool  # keyed point write or VALUES, or point read: bounded work
    columns: tuple[ResultColumn, ...] = ()  # empty: returns no rows
    parameter_oids: tuple[int, ...] = ()
    bounds: tuple[tuple[str, Operand], ...] = ()
    """LIMITs and OFFSETs, already in `sql`; here so that arguments can be checked."""
    locking: str = ""  # what a SELECT ... FOR asks for: UPDATE, NO KEY UPDATE, SHARE, KEY SHARE
    key: str = ""  # name of the shard key, for the error of an INSERT without one
    draws: tuple[str, ...] = ()
    """Sequences of which the router draws a number each; they are the parameters behind those of
    the client."""
    numbers: RowNumbers | None = None
    spread: Spread = ""
    split: SplitRows | None = None
    shards: int = 0
    """If not 0: right only while the cluster has so many shards, which then hold it all."""
    # What all its commands have in common: attributes, for a property of any kind, asked with
    # each statement, takes as long as a call.
    is_write: bool = field(init=False, compare=False, repr=False)
    tags: tuple[str, str] = field(init=False, compare=False, repr=False)
    """`tag_of` no row and of one, which are most."""
    guards: tuple[Guard, ...] = field(init=False, compare=False, repr=False)
    """Of the versions of its tables."""
    pin: tuple[int, Callable[[Value], int]] | None = field(init=False, compare=False, repr=False)
    """If an argument, as it comes, is its one shard key: which, and what finds its slot."""
    outputs: dict[tuple[bool, ...] | None, tuple[OutputColumn, ...]] = field(
        init=False, compare=False, repr=False
    )
    """What a shard is told of its columns, by their formats: those asked for so far."""

    def __post_init__(self) -> None:
        derive = object.__setattr__
        derive(self, "is_write", self.tag != "SELECT")
        derive(self, "tags", (self.tag_of(0), self.tag_of(1)))
        guards = tuple([Guard(f"table:{name}", version) for name, version in self.tables])
        derive(self, "guards", guards)
        derive(self, "pin", self._pin())
        derive(self, "outputs", {None: ()})

    def tag_of(self, count: int) -> str:
        """The command tag of a statement that returned, or changed, so many rows."""
        return f"INSERT 0 {count}" if self.tag == "INSERT" else f"{self.tag} {count}"

    def _pin(self) -> tuple[int, Callable[[Value], int]] | None:
        if len(self.keys) != 1 or not isinstance(self.keys[0], Parameter) or self.keys[0].fit:
            return None
        return self.keys[0].number - 1, slot_finder(self.key_type)


@dataclass(frozen=True)
class SequenceCall:
    """SELECT of nextval, currval, lastval or setval of one sequence, or of a key that the router
    makes (`shardrouter.made_keys`); `value` and `is_called` are setval's."""

    function: str
    sequence: str
    columns: tuple[ResultColumn, ...]
    value: int = 0
    is_called: bool = True


@dataclass(frozen=True)
class OrderKey:
    """Order by the column at `index` of the shards' rows (hidden columns come last)."""

    index: int
    descending: bool
    nulls_first: bool
    collation: str = ""  # of the node; empty: values compare as SQLite compares them


@dataclass(frozen=True)
class Fragment:
    """What of a query some shards answer: rows, of which the finish makes the answer."""

    name: str
    """Of its table in the finish."""
    sql: str
    parameters: tuple[int, ...]
    """The client's numbers of what `sql` calls ?1, ?2, ..."""
    columns: tuple[str, ...]
    """As SQLite declares them in the finish."""
    where: Literal["shards", "home", "any"] = "shards"
    """On all shards, or those of `keys`; on the home shard; on any that has reference tables."""
    key_type: str = ""
    keys: tuple[Operand, ...] = ()
    """If not empty: no row has another shard key than these, other shards need not be asked."""
    why: str = ""


@dataclass(frozen=True)
class Merge:
    """The rows of the one fragment are the answer, merged as they come: they have the columns of
    the answer, and then `hidden` ones that only order the merge."""

    order: tuple[OrderKey, ...] = ()
    hidden: int = 0
    limit: Operand | None = None
    offset: Operand | None = None

    @property
    def is_passing(self) -> bool:
        """Whether all rows are the answer in any order: they can be encoded where they are read."""
        return not self.order and self.limit is None and self.offset is None


@dataclass(frozen=True)
class Total:
    """A column of an answer of one row, made of one column of all rows of a fragment."""

    column: int
    how: Literal["count", "sum", "min", "max"]


@dataclass(frozen=True)
class Finish:
    """A query over the fragments' rows, each a table of a database in the router's memory."""

    sql: str
    parameters: tuple[int, ...]
    totals: tuple[Total, ...] = ()
    """If not empty: nothing but this, which needs no database where all values are integers."""


@dataclass(frozen=True)
class Broadcast:
    """Another way to the same answer, if one side of a join has few rows: they are fetched first,
    and sent to the shards with the fragments, which have two parameters more than the statement:
    how many rows are few, and the rows."""

    small: Fragment
    """The side, of which a shard answers no more rows than a parameter says."""
    fragments: tuple[Fragment, ...]
    finish: Merge | Finish


@dataclass(frozen=True)
class Scatter:
    """A SELECT that no single shard can answer: its fragments, and what makes the answer of their
    rows."""

    tables: Reliance
    fragments: tuple[Fragment, ...]
    finish: Merge | Finish
    columns: tuple[ResultColumn, ...]
    parameter_oids: tuple[int, ...] = ()
    bounds: tuple[tuple[str, Operand], ...] = ()
    """LIMITs and OFFSETs, already in the texts; here so that arguments can be checked."""
    broadcasts: tuple[Broadcast, ...] = ()
    """What is tried before, one after the other."""

    def by(self, broadcast: Broadcast) -> Scatter:
        """The same, that way."""
        return replace(self, fragments=broadcast.fragments, finish=broadcast.finish, broadcasts=())


@dataclass(frozen=True)
class RowsStatement:
    """A write of rows that are at hand: the text before them, and behind them; each is written as a
    list of parameters, in parentheses."""

    tag: str
    head: str
    tail: str
    fields: tuple[int, ...]
    """Which values of a row it takes, in their order."""
    key: int = -1
    """Which of a row's values, if not negative, says on what shard it is written."""
    returned_key: str = ""
    """As in `SplitRows`."""
    spread: Spread = ""
    is_told: bool = True
    """Its rows are those that the client is told of."""


@dataclass(frozen=True)
class RowsWrite:
    """A write whose rows no shard can find by itself: they are read first, and then written by
    their keys; all of it is one transaction."""

    tag: str
    tables: Reliance  # the table that is written is the first
    read: OneShard | Scatter | Answer
    shaped: Finish
    """What is made of the rows that were read, which are the table `held`: as its columns take
    them."""
    held: tuple[str, ...]
    """The columns of that table, as SQLite declares them."""
    key_type: str
    write: RowsStatement
    identity: tuple[int, ...] = ()
    """The values of a row that say which row of the table it is: once is enough."""
    is_once: bool = False
    """Twice is an error: two rows of FROM have something to say of one."""
    moves: tuple[RowsStatement, ...] = ()
    """What is done instead, in this order, with a row whose key is another than before."""
    draws: tuple[str, ...] = ()
    """Sequences of which each row gets a number, behind its values."""
    columns: tuple[ResultColumn, ...] = ()
    parameter_oids: tuple[int, ...] = ()
    bounds: tuple[tuple[str, Operand], ...] = ()
    key_name: str = ""  # for the error of a row without one

    @property
    def writes(self) -> Reliance:
        """The table whose rows it writes."""
        return self.tables[:1]

    def tag_of(self, count: int) -> str:
        """The command tag of so many rows."""
        return f"INSERT 0 {count}" if self.tag == "INSERT" else f"{self.tag} {count}"


@dataclass(frozen=True)
class SchemaChange:
    """A change of the schema as it was written: what it means depends on the catalog of the moment
    when it is made."""

    tag: str
    definition: Definition | RoleStatement
    columns: tuple[ResultColumn, ...] = ()
    """Of a function that makes the change: it answers one empty text."""


@dataclass(frozen=True)
class Answer:
    """A statement whose answer is known without asking a shard (`SELECT 1`, `CLOSE ALL`)."""

    tag: str
    columns: tuple[ResultColumn, ...] = ()
    rows: tuple[tuple[Value, ...], ...] = ()
    parameter_oids: tuple[int, ...] = ()
    tables: tuple[str, ...] = ()
    """They have to be there."""
    alone: bool = False
    """It cannot run inside of a transaction block."""


@dataclass(frozen=True)
class CatalogQuery:
    """A SELECT of the system catalogs, or of what knows of them: the router runs it in a database
    of its own that has these `relations`."""

    relations: tuple[str, ...]
    sql: str
    columns: tuple[ResultColumn, ...]
    parameter_oids: tuple[int, ...] = ()
    bounds: tuple[tuple[str, Operand], ...] = ()
    asks_meta: bool = True
    """What the cluster has now is asked first."""
    tag: str = "SELECT"


@dataclass(frozen=True)
class ExplainRoute:
    """EXPLAIN (ROUTE): what would be done for `plan`."""

    plan: OneShard | Scatter | RowsWrite | Answer | CatalogQuery
    is_json: bool = False

    @property
    def columns(self) -> tuple[ResultColumn, ...]:
        return (ResultColumn("QUERY PLAN", JSON if self.is_json else TEXT),)


@dataclass(frozen=True)
class Pause:
    """`SELECT pg_sleep(seconds)`, with which time limits are tried."""

    seconds: Operand
    columns: tuple[ResultColumn, ...]
    parameter_oids: tuple[int, ...] = ()


@dataclass(frozen=True)
class CopyFrom:
    """COPY FROM STDIN: `insert`, whose parameters are the columns, for each row that is sent, on
    all of `shards`, or, if there are none, on that of its key."""

    table: str
    columns: tuple[CopyColumn, ...]
    insert: OneShard
    shards: tuple[str, ...]
    options: CopyOptions


@dataclass(frozen=True)
class CopyTo:
    """COPY TO STDOUT: the rows of `plan`, which is that of `query`, as the options want them."""

    query: str
    plan: OneShard | Scatter | Answer
    options: CopyOptions


@dataclass(frozen=True)
class DeclareCursor:
    """DECLARE name CURSOR FOR `query`, whose plan is `plan`."""

    name: str
    query: str
    plan: OneShard | Scatter | Answer | CatalogQuery
    is_held: bool = False
    """WITH HOLD: it outlives its transaction."""


@dataclass(frozen=True)
class FetchRows:
    """FETCH, or MOVE, of the next `count` rows of a cursor; None: of all."""

    name: str
    count: int | None
    moves: bool


@dataclass(frozen=True)
class CloseCursor:
    """CLOSE; of all cursors if the name is empty."""

    name: str


@dataclass(frozen=True)
class SetConstraints:
    """SET CONSTRAINTS; of all that are deferrable if there are no names."""

    names: tuple[Name, ...]
    is_deferred: bool


@dataclass(frozen=True)
class PrepareStatement:
    """PREPARE name AS `query`, whose plan is `plan`."""

    name: str
    query: str
    plan: Plan
    declared: tuple[int, ...]
    """The types of its parameters that are declared, or 0."""


@dataclass(frozen=True)
class ExecuteStatement:
    """EXECUTE name (arguments), as they were written."""

    name: str
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class Deallocate:
    """DEALLOCATE; of all prepared statements if the name is empty."""

    name: str


@dataclass(frozen=True)
class ShowTables:
    """SHOW TABLES: name, shard key, number of columns."""

    columns: tuple[ResultColumn, ...] = (
        ResultColumn("name", TEXT),
        ResultColumn("shard_key", TEXT),
        ResultColumn("columns", INT4),
    )


@dataclass(frozen=True)
class ShowColumns:
    """SHOW COLUMNS FROM table: name, type, nullable, role of the column."""

    table: str
    columns: tuple[ResultColumn, ...] = (
        ResultColumn("name", TEXT),
        ResultColumn("type", TEXT),
        ResultColumn("nullable", BOOL),
        ResultColumn("role", TEXT),
    )


Plan: TypeAlias = (
    OneShard
    | Scatter
    | RowsWrite
    | SchemaChange
    | SequenceCall
    | Answer
    | CatalogQuery
    | CopyFrom
    | CopyTo
    | DeclareCursor
    | FetchRows
    | CloseCursor
    | PrepareStatement
    | ExecuteStatement
    | ExplainRoute
    | Deallocate
    | Pause
    | SetSetting
    | SetConstraints
    | TransactionControl
    | ShowSetting
    | ShowTables
    | ShowColumns
)


def parameter_oids(plan: Plan) -> tuple[int, ...]:
    """The type OIDs of $1, $2, ..."""
    if isinstance(plan, DeclareCursor | ExplainRoute):
        plan = plan.plan
    if isinstance(plan, OneShard | Scatter | RowsWrite | Answer | CatalogQuery | Pause):
        return plan.parameter_oids
    return ()


def result_columns(plan: Plan) -> tuple[ResultColumn, ...]:
    """The columns of the answer; empty if the statement returns no rows."""
    match plan:
        case (
            OneShard()
            | Scatter()
            | RowsWrite()
            | Answer()
            | CatalogQuery()
            | ExplainRoute()
            | Pause()
            | SchemaChange()
            | SequenceCall()
            | ShowTables()
            | ShowColumns()
        ):
            return plan.columns
        case ShowSetting():
            return (ResultColumn(plan.name, TEXT),)
        case _:
            return ()
