"""Expressions: from what was written to typed SQLite text.

Every expression gets its PostgreSQL type first; untyped literals and parameters take the type of
what they meet. Operators, casts and calls are rows of tables (`shardrouter.operators`, `casts`,
`calls`). What is not there is refused (0A000); a combination that PostgreSQL does not have is its
own error (42883).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from shardrouter import array_forms, calls, casts, operators, subqueries, syntax, types
from shardrouter.casts import Context
from shardrouter.catalog import Column, Table
from shardrouter.common_types import common_type, compatible
from shardrouter.errors import NotSupported, StatementError
from shardrouter.in_lists import in_list
from shardrouter.lazy_constants import refuse_if_skipped
from shardrouter.relations import Names, Statement, relation_of
from shardrouter.typed import (
    Parameters,
    Typed,
    apply,
    assigned,
    boolean,
    compared,
    connected,
    constant,
    converted,
    fitted,
    implicit,
    literal,
    number,
)
from shardrouter.types import BOOLEAN, TEXT, OwnTypes, Type

if TYPE_CHECKING:
    from shardrouter.locality import Form, Located, Shape, View
    from shardrouter.partials import Called, Split

__all__ = ["Scope", "table_scope"]


_OPEN = (syntax.StringLiteral, syntax.NullLiteral)


class Scope(Names):
    """The names of one query, and what expressions of them become.

    `clause` says where the expression stands if no aggregate may stand there."""

    def __init__(self, statement: Statement, parent: Scope | None = None) -> None:
        super().__init__(statement, parent)
        self.parameters = statement.parameters
        self.clause = ""
        self.aggregates = 0
        self.windows: dict[str, syntax.WindowSpec] = {}
        self.has_windows = False
        self.sets: dict[int, Typed] = {}
        """What the functions of sets in the list are, by the identity of their call."""
        self.meant: dict[int, Typed] = {}
        """What GROUP BY names by a position or an alias, by the identity of the expression."""
        self.inside = ""
        """What the expression is an argument of: an aggregate, a window function."""
        self.equalities: list[tuple[Typed, Typed, frozenset[int]]] = []
        """What must hold for rows of some relations to count: two values are equal;"""
        self.choices: list[tuple[Typed, tuple[Typed, ...], frozenset[int]]] = []
        """one is among several."""
        self.index = len(statement.scopes)
        self.end = 0
        """Of the scopes that were made while its query was understood."""
        self.shapes: list[Shape] = []
        self.form: Form | None = None
        """What its FROM is, and the rest, if it is that of a SELECT."""
        self.calls: list[Called] = []
        """Its aggregates."""
        self.split: Split | None = None
        """If it is grouped on the shards first: what they have of it."""
        self.sharded: list[tuple[int, Table]] = []
        self.named: list[tuple[int, Table]] = []
        """The tables of its FROM, wherever they are."""
        self.known: View | None = None
        """Once its query is understood: what it knows of the columns of its relations,"""
        self.met: dict[frozenset[int], Located | None] = {}
        """and where its rows are, by the tables that are sent to the shards."""

        statement.scopes.append(self)

    def equal(self, left: Typed, right: Typed, restricted: frozenset[int]) -> None:
        """Rows of the `restricted` relations count only if both are equal."""
        self.equalities.append((left, right, restricted))

    def one_of(self, typed: Typed, values: tuple[Typed, ...], restricted: frozenset[int]) -> None:
        self.choices.append((typed, values, restricted))

    def around(self) -> Scope:
        """The scope of a subquery in FROM: it sees the queries around, not its neighbours."""
        inner = Scope(self.statement, self.parent)
        inner.common = {**self.common}
        return inner

    # ---- open expressions

    def is_open(self, node: syntax.Expression) -> bool:
        """Whether the expression has no type of its own and takes that of what it meets."""
        if isinstance(node, syntax.ParameterReference):
            return self.parameters.type_of(node) is None
        return isinstance(node, _OPEN)

    def take_any(self, node: syntax.Expression) -> Typed:
        """The expression where any type will do; a literal is text, but of a parameter nothing
        tells the type, which is an error when all else is understood."""
        if isinstance(node, syntax.ParameterReference) and self.is_open(node):
            return Typed(self.parameters.leave_open(node), TEXT)
        return self.take(node, TEXT)

    def take(self, node: syntax.Expression, kind: Type) -> Typed:
        """The expression; if its type is open, as `kind`."""
        if kind.is_named:
            return self._named(node, kind)
        if isinstance(node, syntax.StringLiteral):
            self.statement.literals[node.position] = kind
            return constant(types.from_text(node.value, kind, node.position), kind)
        if isinstance(node, syntax.NullLiteral):
            return constant(None, kind)
        if isinstance(node, syntax.ParameterReference):
            return self.parameters.use(node, kind)
        return self.expression(node)

    def _named(self, node: syntax.Expression, kind: Type) -> Typed:
        """The number of what is named: only the router knows it."""
        if isinstance(node, syntax.StringLiteral):
            if node.value.isdigit() and len(node.value) < 11:
                return constant(int(node.value), kind)
            name = literal(node.value)
        elif isinstance(node, syntax.ParameterReference):
            typed = self.parameters.use(node, kind)
            if typed.type is not kind:
                return typed
            name = typed.sql
        elif isinstance(node, syntax.NullLiteral):
            return constant(None, kind)
        else:
            return self.expression(node)
        self.statement.ask_router()
        return Typed(f"pgc_{kind.short}({name})", kind)

    def coerced(self, node: syntax.Expression, kind: Type) -> Typed:
        """The expression as `kind`, which an implicit cast must allow."""
        typed = self.take(node, kind)
        if casts.find(typed.type, kind, Context.IMPLICIT) is None:
            raise StatementError(
                f"cannot convert type {typed.type.name} to {kind.name}",
                sqlstate="42846",
                position=syntax.position_of(node),
            )
        return implicit(typed, kind)

    def alike(self, nodes: Sequence[syntax.Expression], context: str) -> tuple[Type, list[Typed]]:
        """Expressions in the type that all of them can have (UNION, CASE, COALESCE, ...)."""
        kinds = [None if self.is_open(node) else self.expression(node).type for node in nodes]
        kind = common_type(kinds, context, [syntax.position_of(node) for node in nodes])
        return kind, [self.coerced(node, kind) for node in nodes]

    # ---- expressions

    def expression(self, node: syntax.Expression) -> Typed:
        """The expression with its type; an open one is text."""
        if not self.grouped and not self.nulled:
            return self._expression(node)
        is_split = self.split is not None and self.inside != "aggregate"
        if id(node) in self.meant and (self.split is None or is_split):
            return self.meant[id(node)]
        mark = len(self.loose)
        typed = self._expression(node)
        if typed.sql in self.grouped:
            del self.loose[mark:]
            if is_split:
                return self.grouped[typed.sql]
        elif typed.sql in self.nulled and self.inside != "aggregate":
            del self.loose[mark:]
            return Typed("NULL", typed.type, modifier=typed.modifier)
        return typed

    def _expression(self, node: syntax.Expression) -> Typed:
        match node:
            case syntax.ColumnReference():
                return self.column(node)
            case syntax.NumberLiteral():
                return number(node.text)
            case syntax.BooleanLiteral():
                return constant(node.value, BOOLEAN)
            case syntax.Negation():
                return self._negation(node)
            case syntax.Prefix():
                return self._prefixed(node.operator, node.operand, node.position)
            case syntax.TypeCast():
                return self._cast(node)
            case syntax.Collated():
                return self._collated(node)
            case syntax.Binary():
                return self.binary(node)
            case syntax.Logical():
                with refuse_if_skipped(node.operands):
                    parts = [self.condition(part, node.operator) for part in node.operands]
                return boolean(f"({connected(node.operator, [part.sql for part in parts])})")
            case syntax.Not(
                operand=syntax.IsTest(operand=syntax.Row(), value=None, is_unknown=False)
            ):
                raise NotSupported(
                    "IS NOT NULL of a row is not supported",
                    position=syntax.position_of(node),
                    hint="Say it of each of its fields: a IS NOT NULL AND b IS NOT NULL.",
                )
            case syntax.IsTest(operand=syntax.Row(items=items), value=None, is_unknown=False):
                tests = [self._is_test(syntax.IsTest(item, None)).sql for item in items]
                return boolean(f"({' AND '.join(tests)})")
            case syntax.IsDistinct(left=syntax.Row(), right=syntax.Row()):
                return self._distinct_rows(node)
            case syntax.Not():
                return boolean(f"(NOT {self.condition(node.operand, 'NOT').sql})")
            case syntax.IsTest():
                return self._is_test(node)
            case syntax.IsDistinct(right=syntax.NullLiteral()):
                return boolean(f"(NOT {self._is_test(syntax.IsTest(node.left, None)).sql})")
            case syntax.IsDistinct(left=syntax.NullLiteral()):
                return boolean(f"(NOT {self._is_test(syntax.IsTest(node.right, None)).sql})")
            case syntax.IsDistinct():
                _, left, right = self.comparison(
                    syntax.Binary("=", node.left, node.right, node.position)
                )
                return boolean(f"({compared(left, right)} IS NOT {right.sql})")
            case syntax.InList():
                return in_list(node, self)[0]
            case syntax.Between():
                return self._between(node)
            case syntax.Like():
                return self._like(node)
            case syntax.Case():
                with refuse_if_skipped([condition for condition, _ in node.branches]):
                    return self._case(node)
            case syntax.Call():
                return calls.call(node, self)
            case syntax.Subquery():
                return subqueries.scalar(node, self)
            case syntax.Exists():
                return subqueries.exists(node, self)
            case syntax.InQuery():
                return subqueries.in_query(node, self)
            case syntax.Quantified():
                return subqueries.quantified(node, self)
            case syntax.Row():
                raise NotSupported(
                    "a row as a value is not supported",
                    position=node.position,
                    hint="Rows can be compared: (a, b) = (c, d); elsewhere write their fields.",
                )
            case syntax.ArrayItems():
                return array_forms.array(node, self)
            case syntax.Subscript():
                return array_forms.subscript(node, self)
            case syntax.Slice():
                return array_forms.slice_of(node, self)
            case _:
                return self.take(node, TEXT)

    def condition(self, node: syntax.Expression, clause: str) -> Typed:
        """An expression that must be boolean."""
        typed = self.take(node, BOOLEAN)
        if typed.type is not BOOLEAN:
            raise StatementError(
                f"argument of {clause} must be type boolean, not type {typed.type.name}",
                sqlstate="42804",
                position=syntax.position_of(node),
            )
        return typed

    # ---- operators

    def binary(self, node: syntax.Binary) -> Typed:
        if isinstance(node.left, syntax.Row) and isinstance(node.right, syntax.Row):
            return self._rows(node, node.left, node.right)
        return self.comparison(node)[0]

    def comparison(self, node: syntax.Binary) -> tuple[Typed, Typed, Typed]:
        """The operator applied, and its two sides in the types it takes."""
        aggregates = self.aggregates
        # Beside NULL PostgreSQL does not look into a query.
        if _is_beside_null(node):
            with refuse_if_skipped([node.left, node.right]):
                left, right = self._known(node.left), self._known(node.right)
        else:
            left, right = self._known(node.left), self._known(node.right)
        kinds = [None if side is None else side.type for side in (left, right)]
        if node.operator == "||":
            kinds = _of_arrays(kinds)
        operator = operators.resolve(node.operator, kinds[0], kinds[1], node.position)
        assert operator.left is not None
        first = implicit(left or self.take(node.left, operator.left), operator.left)
        second = implicit(right or self.take(node.right, operator.right), operator.right)
        is_strict = operator.left.element is None and operator.right.element is None
        if is_strict and self.aggregates == aggregates and _is_null(first, second):
            return constant(None, operator.result), first, second
        if operator.symbol == "=" and types.is_integer(first.type) and first.type != second.type:
            return apply(operator, *_unpropagated(first, second)), first, second
        return apply(operator, first, second), first, second

    def _known(self, node: syntax.Expression) -> Typed | None:
        return None if self.is_open(node) else self.expression(node)

    def _rows(self, node: syntax.Binary, left: syntax.Row, right: syntax.Row) -> Typed:
        """(a, b) < (c, d): the first pair that differs decides."""
        if node.operator not in operators.COMPARISONS:
            raise NotSupported(f"{node.operator} of rows is not supported", position=node.position)
        if len(left.items) != len(right.items):
            raise StatementError(
                "unequal number of entries in row expressions",
                sqlstate="42601",
                position=node.position,
            )
        pairs = list(zip(left.items, right.items, strict=True))

        def test(operator: str, pair: tuple[syntax.Expression, syntax.Expression]) -> str:
            return self.comparison(syntax.Binary(operator, *pair, node.position))[0].sql

        if node.operator in ("=", "<>"):
            word = " AND " if node.operator == "=" else " OR "
            return boolean("(" + word.join(test(node.operator, pair) for pair in pairs) + ")")
        strict = node.operator[0]
        before = [(test(strict, pair), test("=", pair)) for pair in pairs[:-1]]
        text = test(node.operator, pairs[-1])
        for decides, is_equal in reversed(before):
            # NULL in an earlier pair makes the whole NULL unless the pair before decided.
            text = f"({decides} OR ({is_equal} AND {text}))"
        return boolean(text)

    def _distinct_rows(self, node: syntax.IsDistinct) -> Typed:
        """Rows differ if any of their fields do."""
        left, right = node.left, node.right
        assert isinstance(left, syntax.Row)
        assert isinstance(right, syntax.Row)
        if len(left.items) != len(right.items):
            raise StatementError(
                "unequal number of entries in row expressions",
                sqlstate="42601",
                position=node.position,
            )
        tests = [
            self.expression(replace(node, left=one, right=other)).sql
            for one, other in zip(left.items, right.items, strict=True)
        ]
        return boolean(f"({' OR '.join(tests)})")

    def _between(self, node: syntax.Between) -> Typed:
        position = syntax.position_of(node.operand)

        def within(low: syntax.Expression, high: syntax.Expression) -> syntax.Expression:
            above = syntax.Binary(">=", node.operand, low, position)
            below = syntax.Binary("<=", node.operand, high, position)
            return syntax.Logical("AND", (above, below))

        test = within(node.low, node.high)
        if node.symmetric:
            test = syntax.Logical("OR", (test, within(node.high, node.low)))
        return self.expression(test)

    def _is_test(self, node: syntax.IsTest) -> Typed:
        if node.is_unknown:
            return boolean(f"({self.condition(node.operand, 'IS UNKNOWN').sql} IS NULL)")
        if node.value is None:
            if isinstance(node.operand, syntax.ParameterReference) and self.is_open(node.operand):
                return boolean(f"({self.parameters.use_untyped(node.operand)} IS NULL)")
            typed = self.expression(node.operand)
            return boolean(f"({typed.sql} IS NULL)")
        clause = "IS TRUE" if node.value else "IS FALSE"
        return boolean(f"({self.condition(node.operand, clause).sql} {clause})")

    def _like(self, node: syntax.Like) -> Typed:
        symbol = "~~*" if node.any_case else "~~"
        kinds = {
            None if self.is_open(s) else self.expression(s).type
            for s in (node.operand, node.pattern)
        }
        if types.BYTEA in kinds and node.escape is None:
            return self.comparison(
                syntax.Binary(symbol, node.operand, node.pattern, node.position)
            )[0]
        sides = []
        for side in (node.operand, node.pattern):
            typed = self.take(side, TEXT)
            if not types.is_text(typed.type):
                other = node.pattern if side is node.operand else node.operand
                second = "unknown" if self.is_open(other) else self.expression(other).type.name
                shown = (typed.type.name, second)
                left, right = shown if side is node.operand else shown[::-1]
                raise StatementError(
                    f"operator does not exist: {left} {symbol} {right}",
                    sqlstate="42883",
                    position=node.position,
                    hint="No operator matches the given name and argument types. "
                    "You might need to add explicit type casts.",
                )
            is_pattern = side is node.pattern
            sides.append(implicit(typed, TEXT) if is_pattern else typed)  # without its blanks
        name = "pg_ilike_text" if node.any_case else "pg_like_text"
        pattern = sides[1].sql
        if node.escape is not None:
            pattern = f"pg_like_escape({pattern}, {self.take(node.escape, TEXT).sql})"
        return boolean(f"{name}({sides[0].sql}, {pattern})")

    def _negation(self, node: syntax.Negation) -> Typed:
        if isinstance(node.operand, syntax.NumberLiteral):
            return number("-" + node.operand.text)
        return self._prefixed("-", node.operand, node.position)

    def _prefixed(self, symbol: str, operand: syntax.Expression, position: int) -> Typed:
        typed = None if self.is_open(operand) else self.expression(operand)
        kind = typed.type if typed is not None else None
        operator = operators.resolve_prefix(symbol, kind, position)
        taken = typed or self.take(operand, operator.right)
        return apply(operator, implicit(taken, operator.right))

    def _case(self, node: syntax.Case) -> Typed:
        tests = []
        if node.operand is not None and self.is_open(node.operand):
            subject = syntax.TypeCast(node.operand, syntax.TypeName("text"))
            return self._case(replace(node, operand=subject))
        for condition, _ in node.branches:
            if node.operand is None:
                tests.append(self.condition(condition, "CASE/WHEN"))
            else:
                position = syntax.position_of(condition)
                tests.append(self.binary(syntax.Binary("=", node.operand, condition, position)))
        results = [result for _, result in node.branches]
        # As PostgreSQL does it: ELSE is the first to choose the type.
        default = node.default if node.default is not None else syntax.NullLiteral()
        kind, (last, *typed) = self.alike([default, *results], "CASE")
        text = " ".join(
            f"WHEN {test.sql} THEN {result.sql}" for test, result in zip(tests, typed, strict=True)
        )
        modifiers = {result.modifier for result in (last, *typed)}
        modifier = modifiers.pop() if len(modifiers) == 1 else types.NO_MODIFIER
        return Typed(f"(CASE {text} ELSE {last.sql} END)", kind, modifier=modifier)

    # ---- casts

    def _collated(self, node: syntax.Collated) -> Typed:
        typed = self.expression(node.operand)
        if not types.is_text(typed.type.element or typed.type):
            raise StatementError(
                f"collations are not supported by type {typed.type.name}",
                sqlstate="42804",
                position=node.position,
            )
        # In parentheses it is another text to DISTINCT and GROUP BY, and the same to SQLite.
        return replace(typed, sql=f"({typed.sql})", column=None)

    def _cast(self, node: syntax.TypeCast) -> Typed:
        name = node.type
        kind, modifier = types.resolve_any(
            name.name, name.modifiers, name.position, self.statement.own_type
        )
        is_empty = isinstance(node.operand, syntax.ArrayItems) and not node.operand.items
        if is_empty and kind.element is not None:
            return constant("[]", kind)
        if (
            isinstance(node.operand, syntax.ArrayItems)
            and kind.element is not None
            and not any(isinstance(item, syntax.ArrayItems) for item in node.operand.items)
        ):
            # PostgreSQL hands the type down: the elements are cast, and not their array.
            element = replace(name, name=name.name.removesuffix("[]"))
            items = tuple(syntax.TypeCast(item, element) for item in node.operand.items)
            return self.expression(replace(node.operand, items=items))
        operand = self.take(node.operand, kind)
        cast = casts.find(operand.type, kind, Context.EXPLICIT)
        if cast is None:
            raise StatementError(
                f"cannot cast type {operand.type.name} to {kind.name}",
                sqlstate="42846",
                position=syntax.position_of(node.operand),
            )
        if cast.asks_catalog:
            self.statement.ask_router()
        found = fitted(converted(operand, cast), modifier, Context.EXPLICIT)
        if found.modifier == modifier:
            return found
        # A cast to numeric takes the scale away, and is another expression than what it casts.
        return Typed(f"({found.sql})", kind, constant=found.constant, is_late=found.is_late)

    def assign(self, node: syntax.Expression, column: Column, *, is_later: bool = False) -> Typed:
        """The value for a column, by PostgreSQL's assignment casts; `is_later`: what does not fit
        fails when the text is run."""
        kind = types.of_column(column.type)
        typed = self.take(node, kind)
        if is_later:
            typed = replace(typed, constant=None)
        found = assigned(typed, kind, column.modifier)
        if found is None:
            raise not_assignable(column.name, kind, typed.type, syntax.position_of(node))
        return found


def _is_beside_null(node: syntax.Binary) -> bool:
    left, right = node.left, node.right
    if not (isinstance(left, syntax.NullLiteral) or isinstance(right, syntax.NullLiteral)):
        return False
    return isinstance(left, syntax.Subquery) or isinstance(right, syntax.Subquery)


def _of_arrays(kinds: list[Type | None]) -> list[Type | None]:
    """The sides of || where one is an array: what is to be one array has one type."""
    is_array = [kind is not None and kind.element is not None for kind in kinds]
    if not any(is_array):
        return kinds
    return compatible(kinds, ["array" if one else "element" for one in is_array])


def _unpropagated(first: Typed, second: Typed) -> tuple[Typed, Typed]:
    """Two integers of different types, to be compared. Where a column equals a constant, SQLite
    puts the constant in the column's place in other conditions, whose functions would find it out
    of the column's range; one that is cast it leaves where it is."""

    def cast(typed: Typed, other: Typed) -> Typed:
        value = None if typed.constant is None else typed.constant.value
        may_be_outside = typed.parameter and typed.type.size > other.type.size
        if isinstance(value, int):
            may_be_outside = not other.type.low <= value <= other.type.high
        return replace(typed, sql=f"CAST({typed.sql} AS INTEGER)") if may_be_outside else typed

    return cast(first, second), cast(second, first)


def _is_null(first: Typed, second: Typed) -> bool:
    """Whether one side is NULL, and the other may be left out, as PostgreSQL does before anything
    is computed. A parameter may not, for there would be none in the text."""
    for one, other in ((first, second), (second, first)):
        if one.constant is not None and one.constant.value is None and "?" not in other.sql:
            return True
    return False


def not_assignable(name: str, kind: Type, source: Type, position: int) -> StatementError:
    return StatementError(
        f'column "{name}" is of type {kind.name} but expression is of type {source.name}',
        sqlstate="42804",
        position=position,
        hint="You will need to rewrite or cast the expression.",
    )


def table_scope(
    parameters: Parameters,
    table: Table | None = None,
    alias: str = "",
    prefix: str = "",
    own: OwnTypes | None = None,
) -> Scope:
    """A scope of one table, or of nothing: for what belongs to a table (DEFAULT, CHECK)."""
    scope = Scope(Statement(parameters, own_type=own))
    if table is not None:
        relation = relation_of(table, alias or table.relname, 0, prefix=prefix)
        scope.show(relation, 0)
        scope.shown = list(relation.fields)
    return scope
