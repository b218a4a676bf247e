"""From a statement and the catalog to a plan: a value that says what runs where.

Pure. An allow-list: what is not recognised as safe over shards raises NotSupported, never
a guess (DESIGN section 7). The plans themselves are in `shardrouter.planned`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from nodes.protocol import Value
from nodes.values import slot_finder
from shardrouter import bounds, changes, syntax, types
from shardrouter.catalog import Catalog, Table
from shardrouter.copying.grammar import parse_copy
from shardrouter.copying.plan import copy_plan
from shardrouter.cursor_statements import cursor_statement
from shardrouter.ddl_parser import FIRST_WORDS, parse_definition
from shardrouter.deferring import set_constraints
from shardrouter.definitions import CreateTableAs
from shardrouter.drawn import check_update, write_out
from shardrouter.errors import NotSupported, StatementError
from shardrouter.explain_statement import explain_statement
from shardrouter.generated import without_generated, without_settings
from shardrouter.identity import Identity
from shardrouter.lexer import Kind, Token, syntax_error, tokenize
from shardrouter.made_keys import type_of_drawn
from shardrouter.placement_calls import placement_call
from shardrouter.planned import (
    Answer,
    CatalogQuery,
    Constant,
    Fragment,
    OneShard,
    Operand,
    OrderKey,
    Parameter,
    Plan,
    ResultColumn,
    RowsWrite,
    Scatter,
    SchemaChange,
    SetSetting,
    ShowColumns,
    ShowSetting,
    ShowTables,
    parameter_oids,
    result_columns,
)
from shardrouter.query_parser import select_into
from shardrouter.relations import UnknownTable
from shardrouter.select_plan import select
from shardrouter.sequence_calls import sequence_call
from shardrouter.statement import parse_tokens
from shardrouter.transaction_control import transaction_control
from shardrouter.typed import Parameters, call, computing_nothing
from shardrouter.utility import utility

__all__ = [
    "ResultColumn",
    "Constant",
    "Parameter",
    "Operand",
    "OrderKey",
    "OneShard",
    "Scatter",
    "SchemaChange",
    "Answer",
    "SetSetting",
    "ShowSetting",
    "ShowTables",
    "ShowColumns",
    "Plan",
    "UnknownTable",
    "bind",
    "make_plan",
    "parameter_oids",
    "result_columns",
    "slots",
    "value_of",
]


def make_plan(
    sql: str,
    catalog: Catalog,
    parameter_oids: Sequence[int] = (),
    identity: Identity | None = None,
) -> Plan:
    """The plan of one statement.

    `parameter_oids` are the types the client declared for $1, $2, ..., 0 where it left them
    open; `identity` is who runs it. Raises StatementError, UnknownTable and NotSupported, with
    positions.
    """
    tokens = tokenize(sql)
    while tokens and tokens[-1].is_mark(";"):
        tokens.pop()
    if not tokens:
        raise syntax_error("", 0)
    if tokens[0].is_word("copy"):
        return _copy(tokens, sql, catalog, identity)
    plan = (
        transaction_control(tokens)
        or cursor_statement(
            tokens,
            sql,
            parameter_oids,
            lambda text, oids: make_plan(text, catalog, oids, identity),
        )
        or explain_statement(
            tokens,
            sql,
            parameter_oids,
            lambda text, oids: make_plan(text, catalog, oids, identity),
        )
        or set_constraints(tokens)
        or utility(tokens)
    )
    if plan is not None:
        return plan
    if tokens[0].is_word(*FIRST_WORDS):
        definition = parse_definition(tokens)
        tag = "CREATE TABLE AS" if isinstance(definition, CreateTableAs) else _tag(tokens)
        return SchemaChange(tag, definition)
    made = select_into(tokens)
    if made is not None:
        return SchemaChange("SELECT INTO", made)
    tokens, overriding = _overriding(tokens)
    try:
        return _analysed(tokens, overriding, catalog, parameter_oids, identity)
    except StatementError as exc:
        if exc.sqlstate.startswith("22"):
            _look_further(tokens, overriding, catalog, parameter_oids, identity)
        raise
    except RecursionError as exc:
        raise StatementError(
            "stack depth limit exceeded", sqlstate="54001", hint="Write a simpler expression."
        ) from exc


def _look_further(
    tokens: list[Token],
    overriding: str,
    catalog: Catalog,
    parameter_oids: Sequence[int],
    identity: Identity | None,
) -> None:
    """A constant part could not be computed: raise what else is wrong with the statement, if
    anything is, for PostgreSQL understands all of it first."""
    with computing_nothing():
        try:
            _analysed(tokens, overriding, catalog, parameter_oids, identity)
        except StatementError as exc:
            if exc.sqlstate.startswith(("22", "42")):
                raise


def _analysed(
    tokens: list[Token],
    overriding: str,
    catalog: Catalog,
    parameter_oids: Sequence[int],
    identity: Identity | None,
) -> Plan:
    """The plan of a query or a change of rows."""
    node = parse_tokens(tokens)
    call = sequence_call(node, catalog) or placement_call(node, catalog)
    if call is not None:
        return call
    parameters = Parameters(parameter_oids, identity)
    match node:
        case syntax.Insert():
            table = _changed(node.table, catalog)
            node = without_generated(node, table)
            own = _parameters_in(tokens, parameter_oids)
            drawn = write_out(replace(node, overriding=overriding), table, own, catalog)
            if node.conflict is not None:
                assigned = check_update(node.conflict.assignments, table)
                kept = without_settings(assigned, table)
                if kept != node.conflict.assignments:
                    node = replace(node, conflict=replace(node.conflict, assignments=kept))
                    drawn = write_out(replace(node, overriding=overriding), table, own, catalog)
            if not drawn.draws:
                return changes.insert(drawn.node, table, catalog, parameters, own)
            oids = [*parameter_oids, *[0] * (own - len(parameter_oids))]
            oids += [type_of_drawn(each).oid for each in drawn.draws]
            made = changes.insert(drawn.node, table, catalog, Parameters(oids, identity))
            assert isinstance(made, OneShard), "VALUES are no rows that were read"
            return replace(made, parameter_oids=made.parameter_oids[:own], draws=drawn.draws)
        case syntax.Update():
            table = _changed(node.table, catalog)
            assigned = check_update(node.assignments, table)
            node = replace(node, assignments=without_settings(assigned, table))
            return changes.update(node, table, catalog, parameters)
        case syntax.Delete():
            return changes.delete(node, _changed(node.table, catalog), catalog, parameters)
        case _:
            return select(node, catalog, parameters)


def _overriding(tokens: list[Token]) -> tuple[list[Token], str]:
    """INSERT ... OVERRIDING SYSTEM VALUE, which the parser does not know, without these words."""
    if tokens[0].is_word("insert"):
        for i, (first, second, third) in enumerate(zip(tokens, tokens[1:], tokens[2:])):  # noqa: B905 -- windows
            if (
                first.is_word("overriding")
                and second.is_word("system", "user")
                and third.is_word("value")
            ):
                return tokens[:i] + tokens[i + 3 :], second.text
    return tokens, ""


def _copy(tokens: Sequence[Token], sql: str, catalog: Catalog, identity: Identity | None) -> Plan:
    statement = parse_copy(tokens, sql)
    table: Table | None = None
    if statement.table:
        table = catalog.table(statement.table, statement.schema)
        if table is None:
            raise UnknownTable(statement.table, statement.position, statement.schema)
    return copy_plan(statement, catalog, table, partial(make_plan, identity=identity))


def _parameters_in(tokens: Sequence[Token], declared: Sequence[int]) -> int:
    """How many parameters the client has to send."""
    numbers = [int(t.text) for t in tokens if t.kind is Kind.PARAMETER and len(t.text) < 6]
    return max([len(declared), *numbers])


def _tag(tokens: Sequence[Token]) -> str:
    """As PostgreSQL completes a change of the schema: CREATE TABLE, DROP INDEX, TRUNCATE TABLE."""
    first = tokens[0].text.upper()
    if first == "TRUNCATE":
        return "TRUNCATE TABLE"
    if first == "COMMENT":
        return first
    kinds = ("table", "index", "sequence", "view", "schema", "type")
    kind = next((t for t in tokens[1:5] if t.is_word(*kinds)), tokens[-1])
    return f"{first} {kind.text.upper()}"


def _table(name: syntax.TableName, catalog: Catalog) -> Table:
    table = catalog.table(name.name, name.schema)
    if table is None:
        raise UnknownTable(name.name, name.position, name.schema)
    return table


def _changed(name: syntax.TableName, catalog: Catalog) -> Table:
    table = _table(name, catalog)
    if table.view is not None:
        raise NotSupported(
            f'writing to the view "{table.relname}" is not supported',
            position=name.position,
            hint="Write to the table that it reads.",
        )
    return table


# --------------------------------------------------------------------------- binding


def value_of(operand: Operand, arguments: Sequence[Value]) -> Value:
    """A constant's value, or the argument of a parameter."""
    if isinstance(operand, Constant):
        return operand.value
    value = arguments[operand.number - 1]
    if not operand.fit or value is None:
        return value
    return call(operand.fit, value, operand.modifier)


def bind(plan: Plan, arguments: Sequence[Value]) -> tuple[Value, ...]:
    """The arguments, each of the type its parameter has: what may be sent to a shard.

    Raises StatementError: 08P01 for a wrong number of them, 22003, 22021 or 42804 for a value
    that is not of the type, 2201W and 2201X for a negative LIMIT or OFFSET.
    """
    if isinstance(plan, OneShard | Scatter | RowsWrite | CatalogQuery):
        if not plan.parameter_oids and not arguments:
            return ()
        bound = types.check_arguments(plan.parameter_oids, arguments)
        for clause, operand in plan.bounds:
            bounds.check_bound(value_of(operand, bound), clause)
        return bound
    return types.check_arguments(parameter_oids(plan), arguments)


def slots(plan: OneShard | Fragment, arguments: Sequence[Value]) -> tuple[int, ...]:
    """The slots whose rows the statement can concern, in order, each once.

    For a fragment an empty answer means all of them, unless it has keys; for a statement
    whose keys are all NULL it means that no row can match (any shard may run it). An INSERT
    of a row without its key raises 23502.
    """
    found: list[int] = []
    for operand in plan.keys:
        value = value_of(operand, arguments)
        if value is not None:
            found.append(slot_finder(plan.key_type)(value))
        elif isinstance(plan, OneShard) and plan.tag == "INSERT":
            raise changes.null_key(plan.key, plan.tables[0][0])
    return tuple(found) if len(found) < 2 else tuple(sorted(set(found)))
