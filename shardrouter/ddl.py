"""CREATE TABLE and what can be added to a table: from what was written to a table of the catalog.

Constraints that span shards are refused: uniqueness can be kept where it includes the shard
key, because all rows of equal shard key are on one shard; a foreign key where the row it refers to
is on the same shard (`shardrouter.references`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Final

from shardrouter import syntax, types
from shardrouter.aggregates import is_aggregate
from shardrouter.catalog import Catalog
from shardrouter.constraint_names import choose
from shardrouter.definition_parts import (
    CheckDefinition,
    ColumnDefinition,
    ConstraintDefinition,
    ForeignKeyDefinition,
    KeyDefinition,
)
from shardrouter.definitions import CreateIndex, CreateTable, IndexElement
from shardrouter.errors import NotSupported, StatementError
from shardrouter.generated import check_key, with_generated
from shardrouter.made_keys import UNIQUE_ID, UUID_V7, made_by, type_of_drawn
from shardrouter.namespaces import NewNames
from shardrouter.references import foreign_key
from shardrouter.sequence_calls import sequence_named, stored_sequence
from shardrouter.serial import SERIALS, column_sequence
from shardrouter.tables import (
    Check,
    Column,
    Default,
    Index,
    Key,
    OnCommit,
    Placement,
    SqlSequence,
    Table,
)
from shardrouter.translate import table_scope
from shardrouter.typed import Parameters, literal, quote
from shardrouter.written import columns_of, expression_of

__all__ = [
    "Made",
    "add_constraint",
    "check_columns",
    "check_of",
    "column_of",
    "create_index",
    "create_table",
    "default_value",
    "index_of",
]

COLUMNS_MAX: Final = 1600
"""PostgreSQL's limit."""

_SYSTEM_COLUMNS: Final = frozenset({"cmax", "cmin", "ctid", "tableoid", "xmax", "xmin"})
_OPTIONS: Final = (
    "There is WITH (shard_key = 'column'), WITH (reference = true) and WITH (home = true)."
)
_WAYS_OUT: Final = (
    "Include the shard key in it, choose another shard key with "
    "WITH (shard_key = 'column'), make it a home table with WITH (home = true), or leave the "
    "constraint out."
)


@dataclass(frozen=True)
class Made:
    """A table, without its version, and the sequences of its columns."""

    table: Table
    sequences: tuple[SqlSequence, ...] = ()


def create_table(
    node: CreateTable, catalog: Catalog, names: NewNames, default: Placement = "sharded"
) -> Made:
    """The table that `node` describes; its own name, and those of its keys and sequences are added
    to `names`. `default` is the placement of a table that has a primary key and says nothing."""
    if not node.columns:
        raise NotSupported("a table without columns is not supported", position=node.table.position)
    check_columns([column.name for column in node.columns])
    stored, called = names.store(names.check(node.table))
    primary_key = _primary_key(node)
    placement, shard_key = _placement(node, primary_key, default)
    columns: list[Column] = []
    sequences: list[SqlSequence] = []
    for definition in node.columns:
        column, sequence = column_of(
            definition, (stored, node.table.text), primary_key, names, catalog
        )
        columns.append(column)
        if sequence is not None:
            sequences.append(sequence)
    table = Table(
        stored,
        0,
        tuple(columns),
        (),
        shard_key,
        placement,
        schema=names.schema,
        called=called,
        on_commit=_on_commit(node),
    )
    table = with_generated(table, node.columns)
    for constraint in _in_order(node.constraints):
        table = add_constraint(table, constraint, catalog, names)
    check_key(table)
    return Made(table, tuple(sequences))


def _on_commit(node: CreateTable) -> OnCommit:
    if node.on_commit and not node.is_private:
        raise StatementError("ON COMMIT can only be used on temporary tables", sqlstate="42P16")
    return node.on_commit


def _in_order(constraints: Sequence[ConstraintDefinition]) -> list[ConstraintDefinition]:
    """Keys before what may refer to them; names that were given before names to be found."""
    kinds = (KeyDefinition, CheckDefinition, ForeignKeyDefinition)
    return sorted(constraints, key=lambda c: (kinds.index(type(c)), c.name is None))


# --------------------------------------------------------------------------- names and columns


def check_columns(names: Sequence[syntax.Name]) -> None:
    """They can be the columns of one table. Raises 54011, 42701."""
    seen: dict[str, str] = {}
    if len(names) > COLUMNS_MAX:
        raise StatementError(f"tables can have at most {COLUMNS_MAX} columns", sqlstate="54011")
    for name in names:
        if name.text in _SYSTEM_COLUMNS:
            raise StatementError(
                f'column name "{name.text}" conflicts with a system column name',
                sqlstate="42701",
                position=name.position,
            )
        other = seen.get(name.text.lower())
        if other == name.text:
            raise StatementError(
                f'column "{name.text}" specified more than once',
                sqlstate="42701",
                position=name.position,
            )
        if other is not None:
            raise NotSupported(
                f'columns "{other}" and "{name.text}" differ only by case',
                position=name.position,
                hint="Give them names that differ in letters.",
            )
        seen[name.text.lower()] = name.text


def _primary_key(node: CreateTable) -> tuple[str, ...]:
    keys = [c for c in node.constraints if isinstance(c, KeyDefinition) and c.primary]
    if len(keys) > 1:
        raise StatementError(
            f'multiple primary keys for table "{node.table.text}" are not allowed',
            sqlstate="42P16",
            position=keys[1].position,
        )
    return tuple(name.text for name in keys[0].columns) if keys else ()


def column_of(
    definition: ColumnDefinition,
    table: tuple[str, str],
    primary_key: Sequence[str],
    names: NewNames,
    catalog: Catalog,
    *,
    is_added: bool = False,
) -> tuple[Column, SqlSequence | None]:
    """A column of the table of this name and relname, and the sequence it draws from. `is_added`:
    its default is computed at once, for the rows that there may be."""
    name = definition.name
    written = definition.type
    serial = SERIALS.get(written.name)
    if serial is not None:
        if definition.default is not None:
            raise StatementError(
                f'multiple default values specified for column "{name.text}" of table "{table[1]}"',
                sqlstate="42601",
                position=name.position,
            )
        written = replace(written, name=serial)
    kind, modifier = types.resolve(
        written.name, written.modifiers, written.position, catalog.own_type
    )
    not_null = definition.not_null or name.text in primary_key
    column = Column(name.text, kind.in_catalog, not_null, None, modifier, definition.identity)
    if serial is not None or definition.identity:
        sequence = column_sequence(definition, kind, table, names)
        drawn = Default("", is_constant=False, sequence=sequence.name)
        return replace(column, not_null=True, default=drawn), sequence
    if definition.generated is not None and (definition.default or definition.identity):
        what = "default" if definition.default else "identity"
        raise StatementError(
            f"both {what} and generation expression specified for column "
            f'"{name.text}" of table "{table[1]}"',
            sqlstate="42601",
            position=name.position,
        )
    if definition.default is None:
        return column, None
    default = default_value(
        definition.default,
        definition.default_source,
        column,
        name.position,
        catalog,
        may_wait=not is_added,
    )
    return replace(column, default=default), None


_MISFITS = ("22001", "22003")
"""A constant of the right type that its column has no room for."""


def default_value(
    node: syntax.Expression,
    source: str,
    column: Column,
    position: int,
    catalog: Catalog,
    *,
    may_wait: bool = True,
) -> Default | None:
    """What DEFAULT means for a column; None: nothing. One that the column has no room for is told
    when a row would have it, if that `may_wait`."""
    if isinstance(node, syntax.Call) and node.name == "nextval" and len(node.arguments) == 1:
        name = sequence_named(node.arguments[0])
        if name is not None:
            drawn = stored_sequence(name, catalog)
            return Default("", is_constant=False, sequence=drawn, source=source)
    drawn = made_by(node.name) if isinstance(node, syntax.Call) and not node.arguments else ""
    if drawn in (UNIQUE_ID, UUID_V7):
        made = type_of_drawn(drawn)
        if types.of_column(column.type) is not made:
            raise StatementError(
                f'column "{column.name}" is of type {column.type} but default expression is of '
                f"type {made.name}",
                sqlstate="42804",
                position=position,
                hint="You will need to rewrite or cast the expression.",
            )
        return Default("", is_constant=False, sequence=drawn, source=source)
    _check_rows_only(node, "DEFAULT expression")
    parameters = Parameters(())
    try:
        typed = table_scope(parameters, own=catalog.own_type).assign(node, column)
    except StatementError as exc:
        if exc.sqlstate == "42703":
            raise StatementError(
                "cannot use column reference in DEFAULT expression",
                sqlstate="0A000",
                position=exc.position,
            ) from exc
        if exc.sqlstate not in _MISFITS or not may_wait:
            raise
        typed = table_scope(parameters).assign(node, column, is_later=True)
    _no_parameters(parameters, position)
    if typed.constant is None:
        return Default(typed.sql, is_constant=False, source=source)
    value = typed.constant.value
    return None if value is None else Default(literal(value), value=value, source=source)


def _no_parameters(parameters: Parameters, position: int) -> None:
    if parameters.oids():
        raise StatementError("there is no parameter $1", sqlstate="42P02", position=position)


# --------------------------------------------------------------------------- placement


def _placement(
    node: CreateTable, primary_key: tuple[str, ...], default: Placement
) -> tuple[Placement, str]:
    """Where the rows are, and the shard key of a sharded table.

    Without a word a table is sharded by the first column of its primary key, unless the setting
    default_placement says home; one that has none is a home table.
    """
    options: dict[str, str] = {}
    for name, value in node.options:
        if name == "fillfactor":
            continue  # how full pages are: nothing that can be seen
        if name not in ("shard_key", "reference", "home"):
            raise NotSupported(f'the table option "{name}" is not supported', hint=_OPTIONS)
        if name in options:
            raise StatementError(f'parameter "{name}" specified more than once', sqlstate="42601")
        options[name] = value
    flags: tuple[Placement, ...] = ("reference", "home")
    said = [flag for flag in flags if flag in options and _is_true(flag, options[flag])]
    if len(said) + ("shard_key" in options) > 1:
        raise StatementError(
            "a table has one of shard_key, reference and home", sqlstate="22023", hint=_OPTIONS
        )
    if node.is_private:
        if "shard_key" in options or "reference" in said:
            raise NotSupported(
                "a temporary table is whole on one shard",
                position=node.table.position,
                hint="Leave out WITH (...).",
            )
        return "home", ""
    if said:
        return said[0], ""
    if "shard_key" not in options and (not primary_key or default == "home"):
        return "home", ""
    if not primary_key:
        raise NotSupported(
            f'table "{node.table.text}" has a shard key and no primary key',
            position=node.table.position,
            hint="Declare a PRIMARY KEY that includes the shard key, or make it a home table: "
            "WITH (home = true).",
        )
    if "shard_key" not in options and not _is_column(primary_key[0], node):
        return "sharded", primary_key[0]  # what is wrong is said of the key
    return "sharded", _shard_key(options.get("shard_key", primary_key[0]), node)


def _is_column(name: str, node: CreateTable) -> bool:
    return any(column.name.text == name for column in node.columns)


def _is_true(name: str, value: str) -> bool:
    if value.lower() in ("true", "on", "yes", "1"):
        return True
    if value.lower() in ("false", "off", "no", "0"):
        return False
    raise StatementError(
        f'invalid value for boolean option "{name}": {value}', sqlstate="22023", hint=_OPTIONS
    )


def _shard_key(shard_key: str, node: CreateTable) -> str:
    column = next((c for c in node.columns if c.name.text == shard_key), None)
    if column is None:
        raise StatementError(
            f'column "{shard_key}" named as shard key does not exist', sqlstate="42703"
        )
    name = SERIALS.get(column.type.name, column.type.name)
    kind, _ = types.resolve(name, column.type.modifiers, column.type.position)
    if kind not in types.SHARD_KEY_TYPES:
        listed = sorted(kind.name for kind in types.SHARD_KEY_TYPES)
        raise NotSupported(
            f"a column of type {kind.name} cannot be the shard key",
            position=column.type.position,
            hint=f"A shard key is of one of the types {', '.join(listed)}.",
        )
    return shard_key


# --------------------------------------------------------------------------- constraints


def add_constraint(
    table: Table,
    node: ConstraintDefinition,
    catalog: Catalog,
    names: NewNames,
) -> Table:
    """The table with one constraint more."""
    if isinstance(node, KeyDefinition):
        return _add_key(table, node, names)
    own = {table.primary, *(key.name for key in table.keys), *(c.name for c in table.checks)}
    own |= {key.name for key in table.foreign_keys}
    if node.name is not None and node.name.text in own:
        raise StatementError(
            f'constraint "{node.name.text}" for relation "{table.relname}" already exists',
            sqlstate="42710",
            position=node.name.position,
        )
    if isinstance(node, ForeignKeyDefinition):
        listed = "_".join(name.text for name in node.columns)
        name = node.name.text if node.name else choose(table.relname, listed, "fkey", own)
        key = foreign_key(table, node, name, catalog)
        return replace(table, foreign_keys=(*table.foreign_keys, key))
    sql = _condition(table, node.expression, "CHECK")
    columns = columns_of(node.expression)
    listed = columns.pop() if len(columns) == 1 else ""
    name = node.name.text if node.name else choose(table.relname, listed, "check", own)
    if name.startswith("shardrouter_"):
        raise StatementError(
            f'unacceptable constraint name "{name}"',
            sqlstate="42939",
            hint="Names that begin with shardrouter_ belong to the system.",
        )
    return replace(table, checks=(*table.checks, Check(name, sql, node.source)))


def _add_key(table: Table, node: KeyDefinition, names: NewNames) -> Table:
    columns = _key_columns(table, node.columns, "PRIMARY KEY" if node.primary else "UNIQUE")
    if node.primary and table.primary_key:
        raise StatementError(
            f'multiple primary keys for table "{table.relname}" are not allowed',
            sqlstate="42P16",
            position=node.position,
        )
    if node.name is not None:
        name = names.check(node.name)
    elif node.primary:
        name = choose(table.relname, "", "pkey", names.taken)
    else:
        name = choose(table.relname, "_".join(columns), "key", names.taken)
    names.taken.add(name)
    if not node.primary:
        return replace(table, keys=(*table.keys, Key(name, columns)))
    return replace(
        table,
        primary=name,
        primary_key=columns,
        columns=tuple(replace(c, not_null=c.not_null or c.name in columns) for c in table.columns),
    )


def _require_order(kind: types.Type, position: int) -> None:
    """That an index can have it."""
    if kind is types.JSON:
        raise StatementError(
            'data type json has no default operator class for access method "btree"',
            sqlstate="42704",
            position=position,
            hint="You must specify an operator class for the index or define a default operator "
            "class for the data type.",
        )


def _key_columns(table: Table, names: Sequence[syntax.Name], what: str) -> tuple[str, ...]:
    seen: list[str] = []
    for name in names:
        column = table.column(name.text)
        if column is None:
            raise StatementError(
                f'column "{name.text}" named in key does not exist',
                sqlstate="42703",
                position=name.position,
            )
        _require_order(types.of_column(column.type), name.position)
        if name.text in seen:
            constraint = "primary key" if what == "PRIMARY KEY" else "unique"
            raise StatementError(
                f'column "{name.text}" appears twice in {constraint} constraint',
                sqlstate="42701",
                position=name.position,
            )
        seen.append(name.text)
    if table.placement == "sharded" and table.shard_key not in seen:
        raise NotSupported(
            f'{what} ({", ".join(seen)}) does not include the shard key "{table.shard_key}"',
            position=names[0].position,
            hint=_WAYS_OUT,
        )
    return tuple(seen)


def _condition(table: Table, node: syntax.Expression, clause: str) -> str:
    """A condition on the rows of a table as SQLite's text."""
    _check_rows_only(node, "check constraint" if clause == "CHECK" else "index predicate")
    parameters = Parameters(())
    sql = table_scope(parameters, table).condition(node, clause).sql
    _no_parameters(parameters, syntax.position_of(node))
    return sql


_QUERIES: Final = (syntax.Subquery, syntax.Exists, syntax.InQuery)


def _check_rows_only(node: object, what: str) -> None:
    """An expression over one row: no query, no aggregate and no window in it."""
    if isinstance(node, _QUERIES):
        raise StatementError(
            f"cannot use subquery in {what}", sqlstate="0A000", position=node.position
        )
    if isinstance(node, syntax.Call):
        if node.over is not None:
            raise StatementError(
                f"window functions are not allowed in {what}s",
                sqlstate="42P20",
                position=node.position,
            )
        if node.star or is_aggregate(node):
            raise StatementError(
                f"aggregate functions are not allowed in {what}s",
                sqlstate="42803",
                position=node.position,
            )
    if isinstance(node, tuple):
        for part in node:
            _check_rows_only(part, what)
    elif is_dataclass(node):
        for part in fields(node):
            _check_rows_only(getattr(node, part.name), what)


# --------------------------------------------------------------------------- indexes


def check_of(table: Table, check: Check) -> Check:
    """The same condition on a table whose columns have other types. Raises StatementError."""
    return replace(check, sql=_condition(table, expression_of(check.source), "CHECK"))


def index_of(table: Table, index: Index) -> Index:
    """The same index of a table whose columns have other types. Raises StatementError."""
    if not index.orders and "DESC" in index.sqlite:
        raise NotSupported(
            f'the index "{index.relname}" is older than what is known of its order',
            hint="Drop it before, and create it again afterwards.",
        )
    elements = tuple(
        IndexElement(expression_of(source), source, order.startswith("DESC"))
        for source, order in zip(index.elements, index.orders or [""] * 1600, strict=False)
    )
    where = expression_of(index.where) if index.where else None
    return replace(index, sqlite=_index_text(table, elements, where, index.name, index.unique)[0])


def create_index(table: Table, node: CreateIndex, names: NewNames) -> Table:
    """The table with one index more."""
    if (
        node.unique
        and table.placement == "sharded"
        and table.shard_key
        not in {
            element.expression.name
            for element in node.elements
            if isinstance(element.expression, syntax.ColumnReference)
        }
    ):
        raise NotSupported(
            f'the unique index does not include the shard key "{table.shard_key}"',
            position=node.elements[0].position,
            hint=_WAYS_OUT,
        )
    if node.name is None:
        labels = [_label(element.expression) for element in node.elements]
        name = choose(table.relname, "_".join(_numbered(labels)), "idx", names.taken)
    else:
        name = names.check(node.name)
    stored, called = names.store(name)
    text, columns = _index_text(table, node.elements, node.where, stored, node.unique)
    index = Index(
        stored,
        node.unique,
        text,
        columns if len(columns) == len(node.elements) else (),
        tuple(element.source for element in node.elements),
        node.where_source,
        called,
        orders=tuple(map(_order, node.elements)),
        classes=_classes(table, node.elements),
    )
    return replace(table, indexes=(*table.indexes, index))


_PATTERN_CLASSES: Final = {
    "text_pattern_ops": (types.TEXT, types.VARCHAR),
    "varchar_pattern_ops": (types.TEXT, types.VARCHAR),
    "bpchar_pattern_ops": (types.BPCHAR,),
}
"""Operator classes that order by code point, as every index of a text does here, and the types that
they accept."""


def _classes(table: Table, elements: Sequence[IndexElement]) -> tuple[str, ...]:
    scope = table_scope(Parameters(()), table)
    for element in elements:
        name = element.operator_class
        if not name:
            continue
        if name not in _PATTERN_CLASSES:
            raise NotSupported(
                f"the operator class {name} is not supported",
                position=element.position,
                hint="Leave it out: every type is indexed in its own order.",
            )
        kind = scope.expression(element.expression).type
        if kind in _PATTERN_CLASSES[name]:
            continue
        if types.is_text(kind):
            raise NotSupported(
                f"the operator class {name} of a {types.shown(kind)} is not supported",
                position=element.position,
                hint="It would compare blanks at the end otherwise than the type does.",
            )
        raise StatementError(
            f'operator class "{name}" does not accept data type {types.shown(kind)}',
            sqlstate="42804",
        )
    found = tuple(element.operator_class for element in elements)
    return found if any(found) else ()


def _order(element: IndexElement) -> str:
    """As PostgreSQL shows it: what is not the default."""
    words = ["DESC"] if element.descending else []
    if element.nulls_first is not None and element.nulls_first is not element.descending:
        words.append("NULLS FIRST" if element.nulls_first else "NULLS LAST")
    return " ".join(words)


def _index_text(
    table: Table,
    elements: Sequence[IndexElement],
    where: syntax.Expression | None,
    stored: str,
    unique: bool,
) -> tuple[str, tuple[str, ...]]:
    """SQLite's statement, and the columns among the elements."""
    columns: list[str] = []
    parts: list[str] = []
    scope = table_scope(Parameters(()), table)
    for element in elements:
        expression = element.expression
        if isinstance(expression, syntax.ColumnReference):
            if table.column(expression.name) is None:
                raise StatementError(
                    f'column "{expression.name}" does not exist',
                    sqlstate="42703",
                    position=element.position,
                )
            columns.append(expression.name)
        _check_rows_only(expression, "index expression")
        typed = scope.expression(expression)
        _require_order(typed.type, element.position)
        parts.append(f"{typed.sql}{' DESC' if element.descending else ''}")
    text = f"CREATE {'UNIQUE ' if unique else ''}INDEX {quote(stored)} "
    text += f"ON {quote(table.name)} ({', '.join(parts)})"
    if where is not None:
        text += f" WHERE {_condition(table, where, 'WHERE')}"
    return text, tuple(columns)


def _label(node: syntax.Expression) -> str:
    if isinstance(node, syntax.ColumnReference | syntax.Call):
        return node.name
    return "expr"


def _numbered(labels: Sequence[str]) -> list[str]:
    """As PostgreSQL names the columns of an index: expr, expr1, ..."""
    seen: list[str] = []
    for label in labels:
        name, number = label, 0
        while name in seen:
            number += 1
            name = f"{label}{number}"
        seen.append(name)
    return seen
