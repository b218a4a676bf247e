"""ALTER TABLE: what its actions make of a table, in the order in which PostgreSQL carries them out.

What the shards then do follows from the table before and after (`shardrouter.drafts`), and from
where the values of its columns come from, which is told here. The rows are copied, in one entry of
the log, where a column, its type or a constraint of SQLite's is another one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from shardrouter import types
from shardrouter.alter_definitions import (
    AddColumn,
    AddConstraint,
    AddIdentity,
    AlterTable,
    AlterType,
    DropColumn,
    DropConstraint,
    DropDefault,
    DropIdentity,
    SetDefault,
    SetIdentity,
    SetNotNull,
    TableAction,
)
from shardrouter.change_builder import ChangeBuilder
from shardrouter.column_drops import drop_column, drop_constraint
from shardrouter.column_types import retyped
from shardrouter.constraint_names import choose
from shardrouter.ddl import add_constraint, check_columns, column_of, default_value
from shardrouter.definition_parts import SequenceOptions
from shardrouter.errors import NotSupported, StatementError
from shardrouter.generated import not_settable, with_generated
from shardrouter.namespaces import NewNames, missing_schema, qualified
from shardrouter.serial import altered_sequence, make_sequence
from shardrouter.syntax import Name
from shardrouter.tables import Column, Default, SqlSequence, Table

__all__ = ["alter_table"]

_PASSES: Final[tuple[tuple[type[TableAction], ...], ...]] = (
    (DropColumn, DropConstraint, DropDefault, DropIdentity),
    (AlterType,),
    (AddColumn,),
    (SetNotNull, SetIdentity),
    (AddConstraint, SetDefault, AddIdentity),
)
"""PostgreSQL's passes over the actions of one statement. DROP NOT NULL is among the first."""

_SPELLED: Final[dict[type[TableAction], str]] = {
    AddColumn: "ADD COLUMN",
    DropColumn: "DROP COLUMN",
    AlterType: "ALTER COLUMN ... SET DATA TYPE",
    SetDefault: "ALTER COLUMN ... SET DEFAULT",
    DropDefault: "ALTER COLUMN ... DROP DEFAULT",
    SetNotNull: "ALTER COLUMN ... SET NOT NULL",
    AddIdentity: "ALTER COLUMN ... ADD IDENTITY",
    SetIdentity: "ALTER COLUMN ... SET",
    DropIdentity: "ALTER COLUMN ... DROP IDENTITY",
    AddConstraint: "ADD CONSTRAINT",
    DropConstraint: "DROP CONSTRAINT",
}
_SEVERAL: Final = {"view": "views", "index": "indexes", "sequence": "sequences"}


def _pass(action: TableAction) -> int:
    if isinstance(action, SetNotNull) and not action.not_null:
        return 0
    return next(number for number, kinds in enumerate(_PASSES) if isinstance(action, kinds))


def alter_table(builder: ChangeBuilder, node: AlterTable) -> None:
    """Raises PostgreSQL's errors, and NotSupported."""
    found = builder.catalog.relation(node.table.text, node.table.schema)
    if found is None:
        if node.if_exists:
            builder.notice(f'relation "{node.table.text}" does not exist, skipping')
            return
        if node.table.schema and not builder.catalog.has_schema(node.table.schema):
            raise missing_schema(node.table.schema)
        raise StatementError(f'relation "{qualified(node.table)}" does not exist', sqlstate="42P01")
    if found[0] != "table":
        raise StatementError(
            f"ALTER action {_SPELLED[type(node.actions[0])]} cannot be performed on relation "
            f'"{node.table.text}"',
            sqlstate="42809",
            detail=f"This operation is not supported for {_SEVERAL[found[0]]}.",
        )
    altering = _Altering(builder, found[1])
    for action in sorted(node.actions, key=_pass):
        altering.act(action)
    altering.note_no_way_back()


class _Altering:
    """One statement's actions on one table."""

    def __init__(self, builder: ChangeBuilder, name: str) -> None:
        self._builder = builder
        self._name = name
        self._before = builder.table(name)
        self._may_fail = False  # on rows
        self._loses = False  # what a way back would need

    @property
    def table(self) -> Table:
        return self._builder.table(self._name)

    def note_no_way_back(self) -> None:
        """A change that one shard refuses is undone on the others, if it can be."""
        shards = self._builder.catalog.shards_of(self._before)
        if self._may_fail and self._loses and len(shards) > 1:
            self._builder.has_no_way_back = True

    def act(self, action: TableAction) -> None:
        match action:
            case AddColumn():
                self._add_column(action)
            case DropColumn():
                self._loses |= drop_column(self._builder, self._name, action)
            case AlterType():
                self._alter_type(action)
            case SetDefault():
                self._set_default(action)
            case DropDefault():
                self._drop_default(action)
            case SetNotNull():
                self._set_not_null(action)
            case AddIdentity():
                self._add_identity(action)
            case SetIdentity():
                self._set_identity(action)
            case DropIdentity():
                self._drop_identity(action)
            case AddConstraint():
                self._may_fail = True
                self._add_constraint(action)
            case DropConstraint():
                drop_constraint(self._builder, self._name, action)

    # ------------------------------------------------------------------ helpers

    def _column(self, name: Name) -> Column:
        column = self.table.column(name.text)
        if column is None:
            raise StatementError(
                f'column "{name.text}" of relation "{self.table.relname}" does not exist',
                sqlstate="42703",
            )
        return column

    def _put(self, column: Column) -> None:
        """The column is as this from now on."""
        columns = tuple(column if c.name == column.name else c for c in self.table.columns)
        self._builder.put(replace(self.table, columns=columns))

    def _names(self) -> NewNames:
        return NewNames(self._builder.catalog, self.table.schema)

    def _sequence_of(self, column: Column) -> SqlSequence | None:
        owner = (self._name, column.name)
        return next((s for s in self._builder.catalog.sequences.values() if s.owner == owner), None)

    def _of_relation(self, column: Column) -> str:
        return f'column "{column.name}" of relation "{self.table.relname}"'

    # ------------------------------------------------------------------ columns

    def _add_column(self, action: AddColumn) -> None:
        definition, table = action.column, self.table
        if table.column(definition.name.text) is not None:
            message = (
                f'column "{definition.name.text}" of relation "{table.relname}" already exists'
            )
            if not action.if_not_exists:
                raise StatementError(message, sqlstate="42701")
            self._builder.notice(f"{message}, skipping", "42701")
            return
        check_columns([*(Name(column.name) for column in table.columns), definition.name])
        column, sequence = column_of(
            definition,
            (self._name, table.relname),
            (),
            self._names(),
            self._builder.catalog,
            is_added=True,
        )
        if column.default is not None and column.default.sequence and not column.not_null:
            raise NotSupported(
                f'adding "{column.name}" with a value that is drawn for each row is not supported',
                hint="Add the column without it, SET DEFAULT, and UPDATE the rows that are there.",
            )
        table = replace(table, columns=(*table.columns, column))
        self._builder.put(with_generated(table, [definition]))
        if sequence is not None:
            self._builder.put_sequence(sequence)
        # One of that name may have been dropped by the same statement.
        sql = column.default.sql if column.default is not None else ""
        self._builder.compute(self._name, {column.name: sql or "NULL"}, {})
        self._may_fail = True  # by NOT NULL, or what its default comes to
        for constraint in action.constraints:
            self._add_constraint(AddConstraint(constraint))

    def _alter_type(self, action: AlterType) -> None:
        self._column(action.name)
        may_fail, loses = retyped(self._builder, self._before, self._name, action)
        self._may_fail |= may_fail
        self._loses |= loses
        after = self._column(action.name)
        sequence = self._sequence_of(after)
        if after.identity and sequence is not None:
            kind = types.of_column(after.type)
            if not types.is_integer(kind):
                raise StatementError(
                    "identity column type must be smallint, integer, or bigint", sqlstate="22023"
                )
            self._builder.put_sequence(altered_sequence(sequence, SequenceOptions(), kind)[0])

    def _check_no_identity(self, column: Column) -> None:
        if column.identity:
            raise StatementError(
                f"{self._of_relation(column)} is an identity column",
                sqlstate="42601",
                hint="Use ALTER TABLE ... ALTER COLUMN ... DROP IDENTITY instead.",
            )

    def _set_default(self, action: SetDefault) -> None:
        column = self._column(action.name)
        self._check_no_identity(column)
        if column.is_generated:
            raise not_settable(self.table, column)
        default = default_value(action.value, action.source, column, 0, self._builder.catalog)
        self._put(replace(column, default=default))

    def _drop_default(self, action: DropDefault) -> None:
        column = self._column(action.name)
        self._check_no_identity(column)
        if column.is_generated:
            raise not_settable(self.table, column)
        self._put(replace(column, default=None))

    def _set_not_null(self, action: SetNotNull) -> None:
        column = self._column(action.name)
        if not action.not_null:
            if column.identity:
                raise StatementError(
                    f"{self._of_relation(column)} is an identity column", sqlstate="42601"
                )
            if column.name in self.table.primary_key:
                raise StatementError(
                    f'column "{column.name}" is in a primary key', sqlstate="42P16"
                )
        elif not column.not_null:
            self._may_fail = True
        self._put(replace(column, not_null=action.not_null))

    # ------------------------------------------------------------------ identity

    def _add_identity(self, action: AddIdentity) -> None:
        column, table = self._column(action.name), self.table
        if not column.not_null:
            raise StatementError(
                f"{self._of_relation(column)} must be declared NOT NULL before identity can be "
                "added",
                sqlstate="55000",
            )
        if column.identity:
            raise StatementError(
                f"{self._of_relation(column)} is already an identity column", sqlstate="55000"
            )
        if column.default is not None:
            raise StatementError(
                f"{self._of_relation(column)} already has a default value", sqlstate="55000"
            )
        kind = types.of_column(column.type)
        if not types.is_integer(kind):
            raise StatementError(
                "identity column type must be smallint, integer, or bigint", sqlstate="22023"
            )
        names = self._names()
        name = choose(table.relname, column.name, "seq", names.taken)
        sequence = make_sequence(name, action.options, kind, names, (self._name, column.name))
        self._builder.put_sequence(sequence)
        drawn = Default("", is_constant=False, sequence=sequence.name)
        self._put(replace(column, identity=action.identity, default=drawn))

    def _set_identity(self, action: SetIdentity) -> None:
        column = self._column(action.name)
        sequence = self._sequence_of(column)
        if not column.identity or sequence is None:
            raise StatementError(
                f"{self._of_relation(column)} is not an identity column", sqlstate="55000"
            )
        self._put(replace(column, identity=action.identity or column.identity))
        after, restarted = altered_sequence(sequence, action.options)
        self._builder.put_sequence(after)
        if restarted is not None:
            self._builder.restart(after.name, restarted)

    def _drop_identity(self, action: DropIdentity) -> None:
        column = self._column(action.name)
        if not column.identity:
            message = f"{self._of_relation(column)} is not an identity column"
            if not action.if_exists:
                raise StatementError(message, sqlstate="55000")
            self._builder.notice(f"{message}, skipping")
            return
        sequence = self._sequence_of(column)
        self._put(replace(column, identity="", default=None))
        if sequence is not None:
            self._builder.remove_sequence(sequence.name)

    # ------------------------------------------------------------------ constraints

    def _add_constraint(self, action: AddConstraint) -> None:
        after = add_constraint(self.table, action.constraint, self._builder.catalog, self._names())
        self._builder.put(after)
        self._builder.refer(after)
