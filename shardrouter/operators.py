"""Operators as data, and PostgreSQL's rule which of them a symbol between two types is.

Each row is one of pg_operator: symbol, operand types, result, and its text for SQLite: SQLite's
own operator where it answers what PostgreSQL's would, else a function of the node. `resolve` is
the rule of "Operator Type Resolution" in PostgreSQL's documentation (10.2), with its errors:
42883 if there is none, 42725 if there are several.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from shardrouter import casts
from shardrouter.errors import StatementError
from shardrouter.quick_dataclasses import dataclass
from shardrouter.types import (
    ARRAY_OF,
    BIGINT,
    BOOLEAN,
    BPCHAR,
    BYTEA,
    DATE,
    DOUBLE,
    INTEGER,
    INTERVAL,
    JSON,
    JSONB,
    NAME,
    NUMERIC,
    REAL,
    SMALLINT,
    SYSTEM_ARRAY_OF,
    TEXT,
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
    TYPES,
    UUID,
    Type,
    is_text,
)

__all__ = [
    "COMPARISONS",
    "OPERATORS",
    "Operator",
    "best",
    "require_operator",
    "resolve",
    "resolve_prefix",
]

COMPARISONS: Final = frozenset({"=", "<>", "<", "<=", ">", ">="})


@dataclass(frozen=True)
class Operator:
    """`left` is None for a prefix operator. `function` is the node's, which also computes it
    for constants; or `sql` is SQLite's text around {0} and {1}. `family` names the operator of
    PostgreSQL's that takes any array, of which this is the one for one element type."""

    symbol: str
    left: Type | None
    right: Type
    result: Type
    function: str = ""
    sql: str = ""
    family: str = ""

    @property
    def operands(self) -> tuple[Type, ...]:
        return (self.right,) if self.left is None else (self.left, self.right)

    @property
    def is_stable(self) -> bool:
        """Whether PostgreSQL leaves it to the rows, as it does where a time zone matters."""
        return TIMESTAMPTZ in self.operands and self.left is not self.right


SAME_ARRAYS: Final = "same arrays"
"""The family of operators that take two arrays of one type, without a cast."""

_OF_OTHERS_TOO: Final = frozenset({"&&", "@>", "<@", "?|"})
"""Between two operands whose types are open PostgreSQL has several of these: ranges have them, and
figures."""

_INTEGERS: Final = (SMALLINT, INTEGER, BIGINT)
_STAMPS: Final = (TIMESTAMP, TIMESTAMPTZ)
_ARITHMETIC: Final = {"+": "add", "-": "sub", "*": "mul", "/": "div", "%": "mod"}


def _comparisons(left: Type, right: Type) -> Iterator[Operator]:
    """SQLite's own; the collation is written, for it does not see it in an expression."""
    collate = f" COLLATE {left.collation}" if left.collation else ""
    for symbol in sorted(COMPARISONS):
        yield Operator(symbol, left, right, BOOLEAN, sql=f"({{0}} {symbol} {{1}}{collate})")


def _arithmetic(left: Type, right: Type, result: Type, symbols: str) -> Iterator[Operator]:
    for symbol in symbols:
        name = f"pg_{_ARITHMETIC[symbol]}_{result.short}"
        yield Operator(symbol, left, right, result, name)


_BITS: Final = {"&": "and", "|": "or", "#": "xor"}
_REGEX: Final = {
    "~": "regex",
    "~*": "iregex",
    "!~": "notregex",
    "!~*": "notiregex",
    "similar to": "similar",
    "not similar to": "notsimilar",
}
_LIKE: Final = {"~~": "like", "~~*": "ilike", "!~~": "notlike", "!~~*": "notilike"}


def _numbers() -> Iterator[Operator]:
    for left in _INTEGERS:
        for right in _INTEGERS:
            yield from _comparisons(left, right)
            wider = left if left.size > right.size else right
            yield from _arithmetic(left, right, wider, "+-*/%")
    for left in (REAL, DOUBLE):
        for right in (REAL, DOUBLE):
            yield from _comparisons(left, right)
            wider = left if left.size > right.size else right
            yield from _arithmetic(left, right, wider, "+-*/")
    yield from _comparisons(NUMERIC, NUMERIC)
    yield from _arithmetic(NUMERIC, NUMERIC, NUMERIC, "+-*/%")
    for kind in (NUMERIC, DOUBLE):
        yield Operator("^", kind, kind, kind, f"pg_pow_{kind.short}")
    yield Operator("|/", None, DOUBLE, DOUBLE, "pg_sqrt_float8")
    yield Operator("||/", None, DOUBLE, DOUBLE, "pg_cbrt_float8")
    for kind in (*_INTEGERS, NUMERIC, REAL, DOUBLE):
        yield Operator("-", None, kind, kind, f"pg_neg_{kind.short}")
        yield Operator("+", None, kind, kind, sql="{0}")
        yield Operator("@", None, kind, kind, f"pg_abs_{kind.short}")
    for kind in _INTEGERS:
        for symbol, name in _BITS.items():
            yield Operator(symbol, kind, kind, kind, f"pg_{name}_{kind.short}")
        yield Operator("~", None, kind, kind, f"pg_not_{kind.short}")
        yield Operator("<<", kind, INTEGER, kind, f"pg_shl_{kind.short}")
        yield Operator(">>", kind, INTEGER, kind, f"pg_shr_{kind.short}")


def _strings() -> Iterator[Operator]:
    for kind in (BOOLEAN, TEXT, BPCHAR, NAME, BYTEA, UUID):
        yield from _comparisons(kind, kind)
    yield from _comparisons(NAME, TEXT)
    yield from _comparisons(TEXT, NAME)
    yield Operator("||", TEXT, TEXT, TEXT, "pg_concat_text", "({0} || {1})")
    yield Operator("||", BYTEA, BYTEA, BYTEA, "pg_concat_bytea")
    for kind in TYPES.values():
        if not is_text(kind) and kind.element is None:  # PostgreSQL's text || anynonarray
            as_text = f"pg_text_{kind.short}"
            yield Operator("||", TEXT, kind, TEXT, sql=f"({{0}} || {as_text}({{1}}))")
            yield Operator("||", kind, TEXT, TEXT, sql=f"({as_text}({{0}}) || {{1}})")
    for symbol, name in _REGEX.items():
        yield Operator(symbol, TEXT, TEXT, BOOLEAN, f"pg_{name}_text")
        yield Operator(symbol, BPCHAR, TEXT, BOOLEAN, f"pg_{name}_text")
    yield Operator("^@", TEXT, TEXT, BOOLEAN, "pg_starts_with")
    for symbol, name in _LIKE.items():
        yield Operator(symbol, TEXT, TEXT, BOOLEAN, f"pg_{name}_text")
        yield Operator(symbol, BPCHAR, TEXT, BOOLEAN, f"pg_{name}_text")
        yield Operator(symbol, NAME, TEXT, BOOLEAN, f"pg_{name}_text")
        if not symbol.endswith("*"):
            yield Operator(symbol, BYTEA, BYTEA, BOOLEAN, f"pg_{name}_bytea")


def _times() -> Iterator[Operator]:
    for kind in (DATE, TIME, INTERVAL):
        yield from _comparisons(kind, kind)
    for left in _STAMPS:
        for right in _STAMPS:
            yield from _comparisons(left, right)
        for symbol in sorted(COMPARISONS):
            after = f"(pg_compare_timestamp_date({{0}}, {{1}}) {symbol} 0)"
            before = f"(0 {symbol} pg_compare_timestamp_date({{1}}, {{0}}))"
            yield Operator(symbol, left, DATE, BOOLEAN, sql=after)
            yield Operator(symbol, DATE, left, BOOLEAN, sql=before)
        yield Operator("-", left, left, INTERVAL, "pg_sub_timestamp")
        yield Operator("+", left, INTERVAL, left, "pg_add_timestamp_interval")
        yield Operator("-", left, INTERVAL, left, "pg_sub_timestamp_interval")
        yield Operator("+", INTERVAL, left, left, sql="pg_add_timestamp_interval({1}, {0})")
    yield Operator("-", DATE, DATE, INTEGER, "pg_sub_date")
    yield Operator("+", DATE, INTEGER, DATE, "pg_add_date_int4")
    yield Operator("-", DATE, INTEGER, DATE, "pg_sub_date_int4")
    yield Operator("+", INTEGER, DATE, DATE, sql="pg_add_date_int4({1}, {0})")
    yield Operator("+", DATE, TIME, TIMESTAMP, "pg_add_date_time")
    yield Operator("+", TIME, DATE, TIMESTAMP, sql="pg_add_date_time({1}, {0})")
    for symbol, name in (("+", "add"), ("-", "sub")):
        yield Operator(symbol, DATE, INTERVAL, TIMESTAMP, f"pg_{name}_date_interval")
        yield Operator(symbol, TIME, INTERVAL, TIME, f"pg_{name}_time_interval")
        yield Operator(symbol, INTERVAL, INTERVAL, INTERVAL, f"pg_{name}_interval")
    yield Operator("+", INTERVAL, DATE, TIMESTAMP, sql="pg_add_date_interval({1}, {0})")
    yield Operator("+", INTERVAL, TIME, TIME, sql="pg_add_time_interval({1}, {0})")
    yield Operator("-", TIME, TIME, INTERVAL, "pg_sub_time")
    yield Operator("-", None, INTERVAL, INTERVAL, "pg_neg_interval")
    yield Operator("*", INTERVAL, DOUBLE, INTERVAL, "pg_mul_interval")
    yield Operator("*", DOUBLE, INTERVAL, INTERVAL, sql="pg_mul_interval({1}, {0})")
    yield Operator("/", INTERVAL, DOUBLE, INTERVAL, "pg_div_interval")


def _jsons() -> Iterator[Operator]:
    texts = ARRAY_OF[TEXT]
    for kind in (JSON, JSONB):
        for key in (TEXT, INTEGER):
            yield Operator("->", kind, key, kind, f"pg_get_{kind.short}")
            yield Operator("->>", kind, key, TEXT, f"pg_gettext_{kind.short}")
        yield Operator("#>", kind, texts, kind, f"pg_path_{kind.short}")
        yield Operator("#>>", kind, texts, TEXT, f"pg_pathtext_{kind.short}")
    yield from _comparisons(JSONB, JSONB)
    yield Operator("@>", JSONB, JSONB, BOOLEAN, "pg_contains_jsonb")
    yield Operator("<@", JSONB, JSONB, BOOLEAN, "pg_contained_jsonb")
    yield Operator("?", JSONB, TEXT, BOOLEAN, "pg_has_jsonb")
    yield Operator("?|", JSONB, texts, BOOLEAN, "pg_hasany_jsonb")
    yield Operator("?&", JSONB, texts, BOOLEAN, "pg_hasall_jsonb")
    yield Operator("||", JSONB, JSONB, JSONB, "pg_concat_jsonb")
    yield Operator("-", JSONB, TEXT, JSONB, "pg_delete_jsonb")
    yield Operator("-", JSONB, INTEGER, JSONB, "pg_delete_jsonb")
    yield Operator("-", JSONB, texts, JSONB, "pg_deleteall_jsonb")
    yield Operator("#-", JSONB, texts, JSONB, "pg_deletepath_jsonb")


def _arrays() -> Iterator[Operator]:
    for element, kind in ARRAY_OF.items():
        yield from _of_array(element, kind)


def _of_array(element: Type, kind: Type) -> Iterator[Operator]:
    contains = f"pg_contains_{kind.collation}"
    overlaps = f"pg_overlaps_{kind.collation}"
    for operator in (
        *_comparisons(kind, kind),
        Operator("@>", kind, kind, BOOLEAN, contains),
        Operator("<@", kind, kind, BOOLEAN, sql=f"{contains}({{1}}, {{0}})"),
        Operator("&&", kind, kind, BOOLEAN, overlaps),
    ):
        yield replace(operator, family=SAME_ARRAYS)
    yield Operator("||", kind, kind, kind, sql="pg_concat_array({0}, {1})", family="two arrays")
    append, prepend = "pg_append_array({0}, {1})", "pg_prepend_array({0}, {1})"
    yield Operator("||", kind, element, kind, sql=append, family="array and element")
    yield Operator("||", element, kind, kind, sql=prepend, family="element and array")


def _of_own(kind: Type) -> Iterator[Operator]:
    """Of an enumeration, or of an array of one."""
    if kind.element is not None:
        yield from _of_array(kind.element, kind)
        return
    yield from _comparisons(kind, kind)
    label = casts.TO_LABEL
    yield Operator("||", TEXT, kind, TEXT, sql=f"({{0}} || {label.format('{1}')})")
    yield Operator("||", kind, TEXT, TEXT, sql=f"({label.format('{0}')} || {{1}})")


def _system_arrays() -> Iterator[Operator]:
    for kind in SYSTEM_ARRAY_OF.values():
        for operator in _comparisons(kind, kind):
            yield replace(operator, family=SAME_ARRAYS)


def _table() -> Iterator[Operator]:
    yield from _numbers()
    yield from _strings()
    yield from _times()
    yield from _jsons()
    yield from _arrays()
    yield from _system_arrays()


def _by_symbol(table: Iterable[Operator]) -> Mapping[tuple[str, int], tuple[Operator, ...]]:
    found: dict[tuple[str, int], list[Operator]] = {}
    for operator in table:
        found.setdefault((operator.symbol, len(operator.operands)), []).append(operator)
    return {key: tuple(operators) for key, operators in found.items()}


OPERATORS: Final = _by_symbol(_table())

_EXACT: Final[Mapping[tuple[str, tuple[Type | None, ...]], Operator]] = {
    (symbol, operator.operands): operator
    for (symbol, _), operators in OPERATORS.items()
    for operator in reversed(operators)
    if not operator.family
}
"""The first operator of these very types, which nearly always there is."""

_Candidate = TypeVar("_Candidate")

_OF_RANGES: Final = frozenset({("<@", False, True), ("@>", True, False)})
"""Operators by which of their operands are open, where PostgreSQL has one for ranges and another
for multiranges of whatever the other operand is."""


def resolve(symbol: str, left: Type | None, right: Type | None, position: int = 0) -> Operator:
    """The operator between two operands; None is an operand whose type is open."""
    return _resolve(symbol, (left, right), position)


def resolve_prefix(symbol: str, operand: Type | None, position: int = 0) -> Operator:
    """The operator before an operand."""
    return _resolve(symbol, (operand,), position)


def _resolve(symbol: str, operands: tuple[Type | None, ...], position: int) -> Operator:
    known = next((kind for kind in operands if kind is not None), None)
    # An open operand is first thought to be of the other's type.
    wanted = tuple([known if kind is None else kind for kind in operands])
    exact = _EXACT.get((symbol, wanted))
    if exact is not None:
        return exact
    operators = OPERATORS.get((symbol, len(operands)), ())
    for own in {kind for kind in operands if kind is not None and kind.is_own}:
        operators += tuple(operator for operator in _of_own(own) if operator.symbol == symbol)
    if known is not None:
        for operator in operators:
            if operator.operands == wanted and not operator.family:
                return operator
    found = best(_without_families(operators, operands), _operands_of, operands, _family_of)
    if known is None and symbol in _OF_OTHERS_TOO:
        found = ()
    if isinstance(found, Operator):
        return found
    shown = [kind.name if kind is not None else "unknown" for kind in operands]
    text = f"{symbol} {shown[0]}" if len(shown) == 1 else f"{shown[0]} {symbol} {shown[1]}"
    if found is None and (symbol, *(kind is None for kind in operands)) not in _OF_RANGES:
        raise StatementError(
            f"operator does not exist: {text}",
            sqlstate="42883",
            position=position,
            hint="No operator matches the given name and argument types. "
            "You might need to add explicit type casts.",
        )
    raise StatementError(
        f"operator is not unique: {text}",
        sqlstate="42725",
        position=position,
        hint="Could not choose a best candidate operator. "
        "You might need to add explicit type casts.",
    )


def _operands_of(operator: Operator) -> tuple[Type, ...]:
    return operator.operands


def _family_of(operator: Operator) -> str:
    return operator.family


def _without_families(
    operators: Sequence[Operator], given: Sequence[Type | None]
) -> Sequence[Operator]:
    """With the one of each family that fits the given operands best: what PostgreSQL makes of
    one operator that takes any array."""
    if not any(kind is not None and kind.element is not None for kind in given):
        families: set[str] = set()
        kept = []
        for operator in operators:  # no array is there: one of each will do, to be ambiguous with
            if not operator.family or operator.family not in families:
                kept.append(operator)
                families.add(operator.family)
        return kept
    kept = [operator for operator in operators if not operator.family]
    for family in sorted({operator.family for operator in operators} - {""}):
        members = [operator for operator in operators if operator.family == family]
        if family == SAME_ARRAYS:
            members = [m for m in members if all(k is None or k is m.right for k in given)]
        found = best(members, _operands_of, given)
        if isinstance(found, Operator):
            kept.append(found)
        elif found:
            kept.append(found[0])
    return kept


def _no_family(_candidate: object) -> str:
    return ""


def best(
    candidates: Sequence[_Candidate],
    operands_of: Callable[[_Candidate], tuple[Type, ...]],
    given: Sequence[Type | None],
    family_of: Callable[[_Candidate], str] = _no_family,
) -> _Candidate | Sequence[_Candidate] | None:
    """The candidate that `given` operands mean, also of functions (10.2 and 10.3); None if none
    can take them, those that remain if PostgreSQL finds it not unique. What a candidate of a family
    takes is any array to PostgreSQL, never exactly the type that is given."""
    left = [
        candidate
        for candidate in candidates
        if all(
            kind is None
            or kind is wanted
            or (family_of(candidate) != SAME_ARRAYS and casts.is_implicit(kind, wanted))
            for kind, wanted in zip(given, operands_of(candidate), strict=True)
        )
    ]
    if len(left) <= 1:
        return left[0] if left else None

    def keep_most(count: Callable[[Type, Type], bool]) -> None:
        """Keep the candidates that have the most operands with `count(given, wanted)`."""
        nonlocal left
        scores = [
            not family_of(candidate)
            and sum(
                kind is not None and count(kind, wanted)
                for kind, wanted in zip(given, operands_of(candidate), strict=True)
            )
            for candidate in left
        ]
        most = max(scores)
        left = [c for c, score in zip(left, scores, strict=True) if score == most]

    keep_most(lambda kind, wanted: kind is wanted)
    if len(left) > 1:
        keep_most(
            lambda kind, wanted: (
                kind is wanted or (wanted.preferred and wanted.category == kind.category)
            )
        )
    if len(left) == 1:
        return left[0]
    open_ones = [i for i, kind in enumerate(given) if kind is None]
    if not open_ones:
        return left
    narrowed = _by_category(left, operands_of, open_ones, family_of)
    if narrowed is not None:
        left = narrowed
        if len(left) == 1:
            return left[0]
    known = {kind for kind in given if kind is not None}
    if len(known) == 1:
        (kind,) = known
        same = [c for c in left if all(casts.is_implicit(kind, w) for w in operands_of(c))]
        if len(same) == 1:
            return same[0]
    return left


def _by_category(
    candidates: list[_Candidate],
    operands_of: Callable[[_Candidate], tuple[Type, ...]],
    open_ones: Sequence[int],
    family_of: Callable[[_Candidate], str],
) -> list[_Candidate] | None:
    """Those that take, for every open operand, the one category it can have: text if any takes
    text; and of these its preferred type if any takes that. None if there is no one category."""

    def taken(candidate: _Candidate, i: int) -> tuple[str, bool]:
        """The category, and whether it is its preferred type; "any array" is one of its own."""
        kind = operands_of(candidate)[i]
        return ("P", False) if family_of(candidate) else (kind.category, kind.preferred)

    chosen: list[tuple[int, str, bool]] = []
    for i in open_ones:
        kinds = [taken(candidate, i) for candidate in candidates]
        categories = {category for category, _ in kinds}
        if "S" in categories:
            category = "S"
        elif len(categories) == 1:
            (category,) = categories
        else:
            return None
        chosen.append((i, category, (category, True) in kinds))
    kept = [
        candidate
        for candidate in candidates
        if all(
            taken(candidate, i)[0] == category and (taken(candidate, i)[1] or not preferred)
            for i, category, preferred in chosen
        )
    ]
    return kept or None


def require_operator(what: str, kind: Type, position: int = 0) -> None:
    """Raises StatementError for a type without `an equality` or `an ordering`: json is only text to
    PostgreSQL, which neither sorts nor compares it."""
    if kind is JSON:
        raise _no_operator(what, kind, position)


def _no_operator(what: str, kind: Type, position: int) -> StatementError:
    return StatementError(
        f"could not identify {what} operator for type {kind.name}",
        sqlstate="42883",
        position=position,
        hint="Use an explicit ordering operator or modify the query."
        if what == "an ordering"
        else "",
    )
