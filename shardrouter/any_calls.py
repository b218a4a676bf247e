"""Calls whose arguments may be of any type: json of values and rows, format, counts of NULLs.

What such a function does depends on the types of its arguments, which SQLite does not know: they
are handed to the node's function as texts, or with the names of their types.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from shardrouter import casts, operators, syntax
from shardrouter.casts import Context
from shardrouter.errors import NotSupported, StatementError
from shardrouter.typed import Typed, apply, constant, converted, implicit, literal
from shardrouter.types import (
    ARRAY_OF,
    BOOLEAN,
    BPCHAR,
    INTEGER,
    JSON,
    JSONB,
    TEXT,
    Type,
    array_of,
)

if TYPE_CHECKING:
    from shardrouter.translate import Scope

__all__ = ["CALLS", "as_json", "as_text", "undetermined"]


def _none_such(node: syntax.Call, shown: str = "") -> StatementError:
    return StatementError(
        f"function {node.name}({shown}) does not exist",
        sqlstate="42883",
        position=node.position,
        hint="No function matches the given name and argument types. "
        "You might need to add explicit type casts.",
    )


def undetermined() -> StatementError:
    return StatementError(
        "could not determine polymorphic type because input has type unknown", sqlstate="42804"
    )


def as_text(typed: Typed, position: int = 0) -> str:
    """A value as its type's output function shows it."""
    if typed.type is BOOLEAN:
        return f"pg_output_bool({typed.sql})"
    if typed.type is BPCHAR:
        return typed.sql
    if typed.type.element is not None:
        cast = casts.find(typed.type, TEXT, Context.EXPLICIT)
        assert cast is not None, "every array has a text"
        return converted(typed, cast).sql
    operator = operators.resolve("||", TEXT, typed.type, position)
    assert operator.left is not None
    return apply(operator, constant("", TEXT), implicit(typed, operator.right)).sql


# --------------------------------------------------------------------------- json


def as_json(node: syntax.Expression, scope: Scope, kind: Type = JSON) -> str:
    """A value, or the row of a relation, as the text of a json; NULL stays NULL."""
    whole = _whole_row(node, scope)
    if whole is not None:
        return whole if kind is JSON else f"pg_cast_jsonb({whole})"
    if isinstance(node, syntax.Row):
        parts = [f"'f{i}', {as_json(item, scope)}" for i, item in enumerate(node.items, 1)]
        row = f"pg_row_json({', '.join(parts)})"
        return row if kind is JSON else f"pg_cast_jsonb({row})"
    typed = scope.take_any(node)
    if typed.type is kind:
        return typed.sql
    return _value_as_json(typed, kind)


def _value_as_json(typed: Typed, kind: Type = JSON) -> str:
    if typed.type.is_own:  # as its label, or its labels
        target = TEXT if typed.type.element is None else ARRAY_OF[TEXT]
        cast = casts.find(typed.type, target, Context.EXPLICIT)
        assert cast is not None
        typed = converted(typed, cast)
    return f"pg_to_{kind.short}({typed.sql}, '{typed.type.short}')"


def _whole_row(node: syntax.Expression, scope: Scope) -> str | None:
    """`t` where t is a relation and no column: its row, as an object of its columns."""
    if not isinstance(node, syntax.ColumnReference) or node.table is not None:
        return None
    relation = scope.relations.get(node.name)
    if relation is None or any(name == node.name for name, _ in scope.shown):
        return None
    if relation.number in scope.nullable:
        raise NotSupported(
            f'the row of "{node.name}", which an outer join may leave out, is not supported',
            position=node.position,
            hint="Name its columns: json_build_object('a', t.a).",
        )
    if scope.statement.is_kept and relation.table is not None:
        raise NotSupported(
            f'the row of "{node.name}" in a view is not supported: it has the columns that the '
            "table has then",
            position=node.position,
            hint="Name its columns: json_build_object('a', t.a).",
        )
    parts = []
    for name, typed in relation.fields:
        scope.read(name, typed, node.position)
        parts += [literal(name), _value_as_json(typed)]
    return f"pg_row_json({', '.join(parts)})"


def _to_json(node: syntax.Call, scope: Scope) -> Typed:
    if len(node.arguments) != 1:
        raise _none_such(node)
    kind = JSONB if node.name == "to_jsonb" else JSON
    (argument,) = node.arguments
    if node.name == "row_to_json" and not _is_row(argument, scope):
        typed = scope.take(argument, TEXT)
        raise _none_such(node, typed.type.name)
    if scope.is_open(argument):
        raise undetermined()
    return Typed(as_json(argument, scope, kind), kind)


def _is_row(node: syntax.Expression, scope: Scope) -> bool:
    return isinstance(node, syntax.Row) or _whole_row(node, scope) is not None


def _build(node: syntax.Call, scope: Scope) -> Typed:
    """json_build_object, json_build_array: values in turn."""
    kind = JSONB if node.name.startswith("jsonb") else JSON
    what = "object" if node.name.endswith("object") else "array"
    if what == "object" and len(node.arguments) % 2:
        raise StatementError(
            "argument list must have even number of elements",
            sqlstate="22023",
            hint=f"The arguments of {node.name}() must consist of alternating keys and values.",
        )
    texts = ", ".join(as_json(argument, scope) for argument in node.arguments)
    return Typed(f"pg_{what}_{kind.short}({texts})", kind)


# --------------------------------------------------------------------------- others


def _format(node: syntax.Call, scope: Scope) -> Typed:
    if not node.arguments:
        raise _none_such(node)
    template, *values = node.arguments
    texts = [scope.coerced(template, TEXT).sql]
    texts += [as_text(scope.take_any(value), node.position) for value in values]
    return Typed(f"pg_format({', '.join(texts)})", TEXT)


def _quoted(node: syntax.Call, scope: Scope) -> Typed:
    """quote_literal and quote_nullable, of anything."""
    if len(node.arguments) != 1:
        raise _none_such(node)
    typed = scope.take(node.arguments[0], TEXT)
    # As by a cast, which leaves out the blanks of a char(n) and says true, not t.
    cast = casts.find(typed.type, TEXT, Context.EXPLICIT)
    text = converted(typed, cast).sql if cast is not None else as_text(typed)
    return Typed(f"pg_{node.name}({text})", TEXT)


def _nulls(node: syntax.Call, scope: Scope) -> Typed:
    """num_nulls, num_nonnulls."""
    if not node.arguments:
        raise _none_such(node)
    test = "IS NULL" if node.name == "num_nulls" else "IS NOT NULL"
    texts = [f"({scope.take_any(argument).sql} {test})" for argument in node.arguments]
    return Typed(f"({' + '.join(texts)})", INTEGER)


def _type_of(node: syntax.Call, scope: Scope) -> Typed:
    if len(node.arguments) != 1:
        raise _none_such(node)
    (argument,) = node.arguments
    if scope.is_open(argument) and not isinstance(argument, syntax.ParameterReference):
        return constant("unknown", TEXT)
    return constant(scope.take_any(argument).type.name, TEXT)


def _array_of(node: syntax.Call, scope: Scope) -> Typed:
    """ARRAY(SELECT ...): its one column, in its order; without rows an empty array."""
    (argument,) = node.arguments
    assert isinstance(argument, syntax.Subquery)
    outputs = scope.statement.query(argument.query, scope)
    if len(outputs.names) != 1:
        raise StatementError(
            "subquery must return only one column", sqlstate="42601", position=node.position
        )
    kind = outputs.kinds[0] or TEXT
    array = array_of(kind)
    if array is None:
        raise NotSupported(f"an array of {kind.name} is not supported", position=node.position)
    rows = f"FROM ({outputs.text((kind,))})"
    text = f"(SELECT coalesce(pg_agg_array({outputs.label(0)}), '[]') {rows})"
    return Typed(text, array)


def _grouping(node: syntax.Call, scope: Scope) -> Typed:
    """grouping(a, b): a bit for each, set where it is not grouped by."""
    nulled, scope.nulled = scope.nulled, {}
    known = scope.every or scope.grouped
    found = 0
    for argument in node.arguments:
        marks = len(scope.loose)
        typed = scope.take(argument, TEXT)
        del scope.loose[marks:]
        if typed.sql not in known:
            scope.nulled = nulled
            raise StatementError(
                "arguments to GROUPING must be grouping expressions of the associated query level",
                sqlstate="42803",
                position=syntax.position_of(argument),
            )
        found = found << 1 | (typed.sql in nulled)
    scope.nulled = nulled
    return Typed(str(found), INTEGER)


CALLS: Final[Mapping[str, Callable[[syntax.Call, Scope], Typed]]] = {
    **dict.fromkeys(("to_json", "to_jsonb", "row_to_json"), _to_json),
    **dict.fromkeys(
        ("json_build_object", "jsonb_build_object", "json_build_array", "jsonb_build_array"),
        _build,
    ),
    "format": _format,
    **dict.fromkeys(("quote_literal", "quote_nullable"), _quoted),
    **dict.fromkeys(("num_nulls", "num_nonnulls"), _nulls),
    "pg_typeof": _type_of,
    "array of": _array_of,
    "grouping": _grouping,
}
"""By name; those that have a space are forms of the grammar."""
