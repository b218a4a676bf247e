"""WITH: queries with names, also recursive ones."""

from __future__ import annotations

from collections.abc import Sequence

from shardrouter import syntax
from shardrouter.errors import NotSupported, StatementError
from shardrouter.operators import require_operator
from shardrouter.outputs import Outputs, SetOperation, item_types, leave_open
from shardrouter.relations import CommonTable
from shardrouter.translate import Scope
from shardrouter.typed import Typed
from shardrouter.types import Type, is_text, shown

__all__ = ["with_clause"]


def with_clause(tables: Sequence[syntax.CommonTable], *, recursive: bool, scope: Scope) -> str:
    """The text of WITH, empty without one; the scope then knows its tables."""
    texts = []
    is_recursive = False
    for table in tables:
        name = table.name.text
        if name in scope.common:
            raise StatementError(
                f'WITH query name "{name}" specified more than once',
                sqlstate="42712",
                position=table.name.position,
            )
        text = f"w{scope.statement.number()}"
        if recursive and _refers(table.query, name):
            is_recursive = True
            texts.append(_recursive(table, text, scope))
            continue
        outputs = scope.statement.query(table.query, scope)
        columns = _columns(table, outputs)
        hint = {None: "", True: "MATERIALIZED ", False: "NOT MATERIALIZED "}[table.materialized]
        texts.append(f"{_head(text, columns)} AS {hint}({outputs.text()})")
        scope.common[name] = CommonTable(text, columns)
    if not texts:
        return ""
    return f"WITH {'RECURSIVE ' if is_recursive else ''}{', '.join(texts)} "


def _require_same_types(name: str, first: Outputs, step: Outputs, position: int) -> None:
    """What the recursion adds may be of another type if UNION makes it that of the columns, which
    were there before it was known. Raises StatementError 42804."""
    both = SetOperation("UNION", first, step)
    for i, (mine, kind, own, modifier) in enumerate(
        zip(item_types(first), item_types(both), first.modifiers, both.modifiers, strict=True)
    ):
        if kind is not mine or modifier != own:
            raise StatementError(
                f'recursive query "{name}" column {i + 1} has type {shown(mine, own)} in '
                f"non-recursive term but type {shown(kind, modifier)} overall",
                sqlstate="42804",
                position=position,
                hint="Cast the output of the non-recursive term to the correct type.",
            )


def _require_same_collations(step: syntax.Select, kinds: Sequence[Type]) -> None:
    """PostgreSQL refuses what would give a column another collation than it began with (42P21);
    here COLLATE in the step is refused without looking at what it is beside. Raises
    NotSupported."""
    for item, kind in zip(step.items, kinds, strict=False):
        if not isinstance(item, syntax.SelectItem) or not is_text(kind.element or kind):
            continue
        if isinstance(item.expression, syntax.ParameterReference):
            continue  # nothing tells its type: 42P18
        found = next(syntax.collations(item.expression), None)
        if found is not None:
            raise NotSupported(
                "COLLATE in a recursive term is not supported",
                position=syntax.position_of(found),
                hint="Write it in the query that reads the recursive one.",
            )


def _head(text: str, columns: Sequence[tuple[str, Typed]]) -> str:
    return f"{text}({', '.join(typed.sql for _, typed in columns)})"


def _columns(
    table: syntax.CommonTable, outputs: Outputs, kinds: Sequence[Type] = ()
) -> tuple[tuple[str, Typed], ...]:
    names = outputs.names
    if len(table.columns) > len(names):
        raise StatementError(
            f'WITH query "{table.name.text}" has {len(names)} columns available '
            f"but {len(table.columns)} columns specified",
            sqlstate="42P10",
            position=table.columns[0].position,
        )
    found = []
    for i, (name, typed, modifier) in enumerate(
        zip(names, outputs.columns(), outputs.modifiers, strict=True)
    ):
        shown = table.columns[i].text if i < len(table.columns) else name
        kind = kinds[i] if kinds else typed.type
        found.append((shown, Typed(f"c{i + 1}", kind, column=typed.column, modifier=modifier)))
    return tuple(found)


def _recursive(table: syntax.CommonTable, text: str, scope: Scope) -> str:
    """`first UNION [ALL] next`, where next refers to the table itself, once."""
    query, name = table.query, table.name.text
    if (
        not isinstance(query, syntax.SetOperation)
        or query.operator != "UNION"
        or query.tail != syntax.Tail()
        or _refers(query.left, name)
    ):
        raise StatementError(
            f'recursive query "{name}" does not have the form '
            "non-recursive-term UNION [ALL] recursive-term",
            sqlstate="42P19",
            position=table.name.position,
        )
    first = scope.statement.query(query.left, scope)
    kinds = item_types(first)
    leave_open(first, kinds)
    columns = _columns(table, first)
    # What the recursion adds may be pinned to other values than what it began with.
    columns = tuple(
        (shown, Typed(typed.sql, typed.type, modifier=typed.modifier)) for shown, typed in columns
    )
    common = CommonTable(text, columns, is_open=True)
    scope.common[name] = common
    right = query.right
    if not isinstance(right, syntax.Select) or right.group or right.tail != syntax.Tail():
        raise NotSupported(
            "this form of a recursive query is not supported",
            position=table.name.position,
            hint="Let the part after UNION be one SELECT without GROUP BY, ORDER BY or LIMIT.",
        )
    before = len(scope.statement.scopes)
    step = scope.statement.query(right, scope)
    common.is_open = False
    if any(inner.aggregates for inner in scope.statement.scopes[before : before + 1]):
        raise StatementError(
            "aggregate functions are not allowed in a recursive query's recursive term",
            sqlstate="42P19",
            position=table.name.position,
        )
    if common.references != 1:
        raise StatementError(
            f'recursive reference to query "{name}" must not appear more than once',
            sqlstate="42P19",
            position=table.name.position,
        )
    if len(step.names) != len(first.names):
        raise StatementError(
            "each UNION query must have the same number of columns",
            sqlstate="42601",
            position=table.name.position,
        )
    _require_same_types(name, first, step, table.name.position)
    _require_same_collations(right, kinds)
    word = "UNION ALL" if query.all else "UNION"
    distinct = not query.all
    if distinct:
        for kind in kinds:
            require_operator("an equality", kind)
    started = first.text(kinds, distinct=distinct)
    if isinstance(query.left, syntax.SetOperation) or query.left.tail != syntax.Tail():
        started = f"SELECT * FROM ({started})"
    return (
        f"{_head(text, columns)} AS ({started} {word} "
        f"{_bounded(step.text(kinds, distinct=distinct), right)})"
    )


def _bounded(text: str, query: syntax.Select) -> str:
    """The recursive term, which counts its rows: a recursion without end becomes an error."""
    word = "AND" if query.where is not None else "WHERE"
    return f"{text} {word} pg_recursion()"


def _refers(query: syntax.Query, name: str) -> bool:
    """Whether a query has a relation of that name, anywhere but under a WITH of its own."""
    if any(table.name.text == name for table in query.tail.tables):
        return False
    match query:
        case syntax.SetOperation():
            return _refers(query.left, name) or _refers(query.right, name)
        case syntax.Values():
            return False
        case syntax.Select():
            return any(_source_refers(item, name) for item in query.sources)


def _source_refers(item: syntax.FromItem, name: str) -> bool:
    match item:
        case syntax.TableName():
            return item.name == name and not item.schema
        case syntax.FromQuery():
            return _refers(item.query, name)
        case syntax.Join():
            return _source_refers(item.left, name) or _source_refers(item.right, name)
        case _:
            return False
