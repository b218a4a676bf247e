"""Calls: from a name and the types of its arguments to typed SQLite text.

Scalar functions are rows of `shardrouter.functions`, aggregates and window functions of
`shardrouter.aggregates`; a name with several rows is decided by PostgreSQL's rules, as operators
are. What the grammar makes of a word (COALESCE, GREATEST, NULLIF) is here.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from shardrouter import (
    aggregates,
    any_calls,
    casts,
    functions,
    operators,
    postgresql_names,
    row_functions,
    syntax,
)
from shardrouter.common_types import common_type, compatible
from shardrouter.errors import NotSupported, StatementError
from shardrouter.identity import DATABASE
from shardrouter.lazy_constants import refuse_if_skipped
from shardrouter.planned import Constant
from shardrouter.similar_names import closest
from shardrouter.tables import PUBLIC, TEMPORARY
from shardrouter.typed import Typed, collated, computed, constant, implicit
from shardrouter.types import (
    ARRAY_OF,
    BIGINT,
    BYTEA,
    INTEGER,
    JSON,
    NAME,
    NO_MODIFIER,
    TEXT,
    TIMESTAMPTZ,
    Type,
)

if TYPE_CHECKING:
    from shardrouter.translate import Scope

__all__ = ["call"]

_ARGUMENTS_MAX: Final = 8
"""More than any function in the tables takes."""

_OF_BYTES: Final = frozenset(
    {"btrim", "length", "ltrim", "md5", "octet_length", "overlay", "position", "rtrim", "substr"}
    | {"bit_length", "substring"}
)
"""Functions of text here that PostgreSQL has for bytea as well."""

_STABLE: Final = frozenset(
    {"to_char", "to_date", "to_number", "convert_from", "convert_to", "make_timestamptz"}
)
"""Functions that PostgreSQL leaves to the rows."""

_OF_INSTANTS: Final = frozenset({"extract", "date_part", "date_trunc"})
"""The same, of a timestamp with time zone: what it answers depends on the session's."""

_OF_OTHERS: Final = frozenset(
    {("age", 1), ("bit_count", 1), ("get_bit", 2), ("set_bit", 3), ("trunc", 1)}
)
"""Functions that PostgreSQL has for types which are not here as well, by their arguments: there a
NULL is not enough."""

_OF_BITS: Final = frozenset({"get_bit", "set_bit"})

_POLYMORPHIC: Final = frozenset(
    {"array_length", "array_lower", "array_upper", "array_ndims", "array_dims", "array_fill"}
    | {"array_to_string", "cardinality", "trim_array"}
)
"""Functions of an `anyarray` or an `anyelement`, which has to be known."""

_CASES: Final = {
    "lower": (string.ascii_uppercase, string.ascii_lowercase),
    "upper": (string.ascii_lowercase, string.ascii_uppercase),
}

_ONE_AND_ELEMENT: Final = ("array", "element")
_COMPATIBLE: Final = {
    "array_append": _ONE_AND_ELEMENT,
    "array_prepend": ("element", "array"),
    "array_cat": ("array", "array"),
    "array_remove": _ONE_AND_ELEMENT,
    "array_replace": ("array", "element", "element"),
    "array_position": _ONE_AND_ELEMENT,
    "array_positions": _ONE_AND_ELEMENT,
    "width_bucket": ("element", "array"),
}
"""Functions of an `anycompatiblearray` and `anycompatible`, which meet in a common type."""

_SAME_FOR_ALL: Final = {
    "version": ("PostgreSQL 15.0 (shardrouter)", TEXT),
    "current_database": (DATABASE, NAME),
    "current_catalog": (DATABASE, NAME),
    "pg_advisory_unlock_all": ("", TEXT),
}
"""Functions whose answer is the same for all; `pg_advisory_unlock_all` is void, there are no such
locks."""

_WHO: Final = frozenset({"current_user", "current_role", "session_user", "user"})
"""Functions whose answer is the role that is logged in: there is no SET ROLE."""


_NAMES: Final = functions.names() | aggregates.NAMES | row_functions.NAMES


def call(node: syntax.Call, scope: Scope) -> Typed:
    if id(node) in scope.sets:
        return scope.sets[id(node)]
    if aggregates.is_aggregate(node):
        return aggregates.aggregate(node, scope)
    for what, found in (
        ("DISTINCT", node.distinct),
        ("ORDER BY", node.order),
        ("FILTER", node.filter is not None),
        ("OVER", node.over is not None),
        ("*", node.star),
    ):
        if found:
            if node.name not in _SPECIAL:  # is there such a function at all?
                plain = syntax.Call(node.name, node.arguments, position=node.position)
                _function(plain, scope)
            kind = "a window function nor an aggregate" if what == "OVER" else "an aggregate"
            raise StatementError(
                f"{what} specified, but {node.name} is not {kind} function",
                sqlstate="42809",
                position=node.position,
            )
    if node.name in row_functions.NAMES:
        raise NotSupported(
            f"the function {node.name} is not supported here",
            position=node.position,
            hint="Write it in FROM.",
        )
    special = _SPECIAL.get(node.name)
    if special is not None:
        return special(node, scope)
    if node.name in _SAME_FOR_ALL and not node.arguments:
        return constant(*_SAME_FOR_ALL[node.name])
    if node.name == "current_schema" and not node.arguments and _is_public(scope):
        return constant(PUBLIC, NAME)
    if node.name in _WHO and not node.arguments:
        return _who(node, scope)
    return _function(node, scope)


def _is_public(scope: Scope) -> bool:
    """Whether new relations go to the schema public, which is always there: no other one stands
    before it in the search_path but that of the role, which hardly any has. Else the router finds
    it when the statement runs."""
    catalog, identity = scope.statement.catalog, scope.parameters.identity
    if catalog is None or identity is None:
        return True
    path = [schema for schema in catalog.search_path if not schema.startswith(TEMPORARY)]
    if len(path) > 1 and path[0] == identity.user and path[0] not in catalog.schemas:
        del path[0]
    return path[:1] == [PUBLIC]


def _who(node: syntax.Call, scope: Scope) -> Typed:
    identity = scope.parameters.identity
    if identity is None:
        raise NotSupported(
            f"{node.name} is not supported in the definition of a table",
            position=node.position,
            hint="Name it in the statements that write the column.",
        )
    return constant(identity.user, NAME)


FOLDED_MAX: Final = 16 * 1024
"""A computed constant that is longer is computed where the rows are: SQLite has a limit of its
texts."""


def _function(node: syntax.Call, scope: Scope) -> Typed:
    given = [None if scope.is_open(a) else scope.expression(a).type for a in node.arguments]
    candidates = functions.candidates(node.name, len(given), given)
    if node.name in _POLYMORPHIC and given[:1] == [None] and _may_take(candidates, given):
        raise StatementError(
            "could not determine polymorphic type because input has type unknown",
            sqlstate="42804",
        )
    if node.name in _CASES and given == [NAME]:  # a name has the collation "C": letters of ASCII
        letters = tuple(syntax.StringLiteral(each, node.position) for each in _CASES[node.name])
        letter_by_letter = (node.arguments[0], *letters)
        return _function(syntax.Call("translate", letter_by_letter, position=node.position), scope)
    is_of_others = (node.name, len(given)) in _OF_OTHERS and given[0] is None
    if is_of_others and _may_take(candidates, given):
        if node.name in _OF_BITS and given[1] is INTEGER:
            raise _not_here(node)  # the one of bit strings takes an integer there
        if node.name not in _OF_BITS or given[1] is not BIGINT:
            raise _not_unique(node, given)
    shape = _COMPATIBLE.get(node.name, ())
    if len(shape) == len(given) and given == [None] * len(shape):  # text at last
        given = [ARRAY_OF[TEXT] if what == "array" else TEXT for what in shape]
    given = compatible(given, shape)
    found = operators.best(candidates, lambda f: f.arguments, given)
    if isinstance(found, functions.Function):
        if not found.text:
            raise _not_here(node)
        arguments = [
            implicit(scope.take(argument, kind), kind)
            for argument, kind in zip(node.arguments, found.arguments, strict=True)
        ]
        if found.asks == "keys":
            scope.statement.make_keys()
        elif found.asks:
            scope.statement.ask_router(about_cluster=found.asks == "cluster")
        scope.statement.is_volatile |= found.is_volatile
        known = [typed.constant.value for typed in arguments if typed.constant is not None]
        if found.node_function and len(known) == len(arguments) and not found.is_volatile:
            if None in known:
                return constant(None, found.result)
            is_late = _is_stable(found) or any(typed.is_late for typed in arguments)
            made = computed(found.node_function, known, found.result, is_late=is_late)
            if made is not None and made.constant is not None:
                value = made.constant.value
                is_large = isinstance(value, str | bytes) and len(value) > FOLDED_MAX
                if not (is_large and scope.relations):  # whose statement goes to a node with it
                    return made
        texts = [typed.sql for typed in arguments]
        return Typed(found.text.format(*texts, all=", ".join(texts)), found.result)
    if found:
        raise _not_unique(node, given)
    element = _array_as_element(node.name, given)
    if element is not None:
        raise StatementError(
            f"could not find array type for data type {element.name}", sqlstate="42704"
        )
    if node.name in functions.NOT_HERE or (
        node.name in postgresql_names.FUNCTIONS and not _is_known(node.name)
    ):
        raise _not_here(node)
    if BYTEA in given and node.name in _OF_BYTES:
        raise _not_here(node)
    if any(kind is not None and kind.is_own and kind.element is not None for kind in given):
        raise _not_here(node)
    raise _none_such(node, given)


def _may_take(candidates: Sequence[functions.Function], given: Sequence[Type | None]) -> bool:
    """Whether any takes the arguments whose types are known."""
    return any(
        all(k is None or casts.is_implicit(k, w) for k, w in zip(given, f.arguments, strict=True))
        for f in candidates
    )


def _is_stable(function: functions.Function) -> bool:
    """Whether PostgreSQL leaves the call to the rows."""
    if function.name == "to_timestamp":
        return len(function.arguments) > 1
    is_of_instant = function.name in _OF_INSTANTS and function.arguments[-1] is TIMESTAMPTZ
    return function.name in _STABLE or is_of_instant


def _none_such(node: syntax.Call, given: Sequence[Type | None]) -> StatementError:
    shown = ", ".join("unknown" if kind is None else kind.name for kind in given)
    return StatementError(
        f"function {node.name}({shown}) does not exist",
        sqlstate="42883",
        position=node.position,
        hint="No function matches the given name and argument types. "
        f"{_meant(node.name) or 'You might need to add explicit type casts.'}",
    )


def _array_as_element(name: str, given: Sequence[Type | None]) -> Type | None:
    """The array that PostgreSQL takes for any element, to find that there are no arrays of
    arrays: no argument's type says otherwise."""
    places = ("element",) if name == "array_fill" else _COMPATIBLE.get(name, ())
    candidates = functions.candidates(name, len(given))
    known = [(kind, place) for kind, place in zip(given, places, strict=False) if kind is not None]
    if not candidates or not known or any(place == "array" for _, place in known):
        return None
    try:
        common = common_type([kind for kind, _ in known], "")
    except StatementError:
        return None
    if common.element is None:
        return None
    others = zip(given[len(places) :], candidates[0].arguments[len(places) :], strict=True)
    takes = all(kind is None or casts.is_implicit(kind, wanted) for kind, wanted in others)
    return common if takes else None


def _not_unique(node: syntax.Call, given: Sequence[Type | None]) -> StatementError:
    shown = ", ".join("unknown" if kind is None else kind.name for kind in given)
    return StatementError(
        f"function {node.name}({shown}) is not unique",
        sqlstate="42725",
        position=node.position,
        hint="Could not choose a best candidate function. "
        "You might need to add explicit type casts.",
    )


def _meant(name: str) -> str:
    if _is_known(name):
        return ""
    near = closest(name, _NAMES, share=3)
    return f"Perhaps you meant {near[0]}." if near else ""


def _not_here(node: syntax.Call) -> NotSupported:
    return NotSupported(
        f"the function {node.name} is not supported",
        position=node.position,
        hint=functions.NOT_HERE.get(node.name) or "Compute it in the application.",
    )


def _is_known(name: str) -> bool:
    """There is such a function, with other arguments."""
    return any(functions.candidates(name, count) for count in range(_ARGUMENTS_MAX))


# --------------------------------------------------------------------------- words


def _coalesce(node: syntax.Call, scope: Scope) -> Typed:
    aggregates = scope.aggregates
    with refuse_if_skipped(node.arguments):
        kind, typed = scope.alike(_some(node), "COALESCE")
    modifier = _common_modifier(typed)
    while len(typed) > 1 and typed[0].constant == Constant(None):
        del typed[0]
    may_leave_out = scope.aggregates == aggregates and not any("?" in t.sql for t in typed)
    if len(typed) == 1 or (typed[0].constant is not None and may_leave_out):
        return replace(typed[0], modifier=modifier)
    return Typed(f"coalesce({', '.join(t.sql for t in typed)})", kind, modifier=modifier)


def _common_modifier(typed: Sequence[Typed]) -> int:
    """That of all of them."""
    modifiers = {t.modifier for t in typed}
    return modifiers.pop() if len(modifiers) == 1 else NO_MODIFIER


def _some(node: syntax.Call) -> tuple[syntax.Expression, ...]:
    if not node.arguments:
        raise StatementError('syntax error at or near ")"', sqlstate="42601")
    return node.arguments


def _extreme(node: syntax.Call, scope: Scope) -> Typed:
    """GREATEST, LEAST: of those that are not NULL. SQLite's max(a, b) is NULL if one is, so each
    place is given to the first of the others where its own value is missing. Of equal ones (0 and
    -0, 1.5 and 1.50) the first is taken: of two SQLite's max takes the first, min the last."""
    name = "max" if node.name == "greatest" else "min"
    kind, typed = scope.alike(_some(node), node.name.upper())
    if kind is JSON:
        raise StatementError(
            "could not identify a comparison function for type json",
            sqlstate="42883",
            position=node.position,
        )
    if len(typed) == 1:
        return typed[0]
    texts = [t.sql for t in typed]
    places = [f"coalesce({', '.join(texts[i:] + texts[:i])})" for i in range(len(texts))]
    if name == "min":
        places.reverse()
    places[0] = collated(Typed(places[0], kind))
    modifier = _common_modifier(typed)
    return Typed(f"{name}({', '.join(places)})", kind, modifier=modifier)


def _nullif(node: syntax.Call, scope: Scope) -> Typed:
    if len(node.arguments) != 2:
        raise StatementError('syntax error at or near ")"', sqlstate="42601")
    left, right = node.arguments
    test, first, _ = scope.comparison(syntax.Binary("=", left, right, node.position))
    text = f"(CASE WHEN {test.sql} THEN NULL ELSE {first.sql} END)"
    return Typed(text, first.type, modifier=first.modifier)


def _concat(node: syntax.Call, scope: Scope) -> Typed:
    """concat and concat_ws: every argument as text, NULLs left out."""
    texts = []
    for place, argument in enumerate(_some(node)):
        is_separator = node.name == "concat_ws" and place == 0
        if is_separator:
            taken = scope.take(argument, TEXT)
            if not casts.is_implicit(taken.type, TEXT):
                given = [
                    None if scope.is_open(a) else scope.expression(a).type for a in _some(node)
                ]
                raise _none_such(node, given)
            taken = implicit(taken, TEXT)
        else:
            taken = scope.take_any(argument)
        texts.append(any_calls.as_text(taken, node.position))
    return Typed(f"pg_{node.name}({', '.join(texts)})", TEXT)


_SPECIAL: Final = {
    **any_calls.CALLS,
    "coalesce": _coalesce,
    "greatest": _extreme,
    "least": _extreme,
    "nullif": _nullif,
    "concat": _concat,
    "concat_ws": _concat,
}
