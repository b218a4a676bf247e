"""`make differential` with `--sweep`: one expression a statement, of values and types that a
grammar seldom brings together.

Programs look for what is wrong with statements; their expressions are mostly right. Here every
construct of the documentation, every function, operator and cast that PostgreSQL has under a name
known here, meets operands of its own types and of others, as literals, parameters and NULL, each
declared or left to the server, at the edges of their ranges; over one row and over none.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from shardrouter import functions, operators
from shardrouter.signatures import system
from tests.suites.differential.chance import Made
from tests.suites.differential.constructs import (
    EXPRESSIONS,
    OIDS,
    SAME,
    TAME,
    TYPES,
    WILD,
    Expression,
)
from tests.suites.differential.pair import Pair
from tests.suites.differential.trees import Parameter, Tree, leaf, template

__all__ = ["Sweep", "subjects"]

TEXTS: Final = (
    *("day", "year", "epoch", "dow", "microseconds", "hour", "UTC", "hex", "base64", "escape"),
    *("YYYY-MM-DD", "HH24:MI:SS", "FM999.99", "999", "S9.9", "t", "no", "yes", "1e3", "-0", "NaN"),
    *("2024-02-29", "12:34:56", "1 day", "infinity", "-infinity", "{a,b}", "{1,2}", "{0}", "{}"),
    *('{"a": 1}', "[1, 2]", "null", "%", "_b%", "a+", "(a)(b)?", "[", "g", "i", "\\", "\\x61"),
    *("YWJj", "YW Jj", "6 1", "616263", "abcabc", ",", "UTF8", "0", "1", "-1", "1.5", "%s", "%I"),
)
"""What functions of texts read as something else."""

EDGES: Final[dict[str, tuple[str, ...]]] = {
    **WILD,
    "text": (*WILD["text"], *TEXTS),
    "varchar": (*WILD["varchar"], *TEXTS),
    "numeric": (*WILD["numeric"], "Infinity", "-Infinity", "1e-20", "2147483648", "0.5", "-2.5"),
    "int4": (*WILD["int4"], "-2", "100", "31", "32", "64"),
    "interval": (*WILD["interval"], "-178000000 years", "30 days", "24:00:00", "0.5 days"),
    "date": (*WILD["date"], "4714-12-31 BC", "1582-10-15"),
    "timestamp": (*WILD["timestamp"], "4713-01-01 00:00:00 BC", "294276-12-31 23:59:59"),
    "jsonb": (*WILD["jsonb"], '{"a": {"b": []}}', "[[], {}, 1.5, null]", '"2024-01-01"', "1e400"),
    "json": (*WILD["json"], "[1, [2, 3]]", '{"a": {"b": null}}', '"x"'),
    "int4[]": (*WILD["int4[]"], "{0}", "{1,1,NULL,2}", "{-1}"),
    "text[]": (*WILD["text[]"], "{a}", "{0,a}", "{b,1}", "{b,2,c}", "{NULL}", "{-1}", "{1,c}"),
}
"""More of what is at the edges."""

LISTED: Final = {oid: name for name, oid in OIDS.items()}

POLYMORPHIC: Final = {
    "anyelement": "int4",
    "anynonarray": "int4",
    "anyarray": "int4[]",
    "anycompatible": "text",
    "anycompatiblearray": "text[]",
    '"any"': "text",
    "cstring": "",
}

UNPROMISED: Final = frozenset(
    """
    now transaction_timestamp statement_timestamp current_timestamp localtimestamp current_date
    localtime random gen_random_uuid current_time clock_timestamp version
    cbrt dcbrt ||/ tan cot sinh cosh tanh asin acos atan atan2
    """.split()  # noqa: SIM905 -- a list of names
)
"""Functions that answer differently from call to call, and those whose last digit is the C
library's."""

ASKED: Final = """
SELECT proname, array_to_string(ARRAY(SELECT format_type(t, NULL) FROM unnest(proargtypes) t), '|')
FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND prokind = 'f' AND NOT proretset
"""

OWN_SHARE, NESTED_SHARE, EMPTY_SHARE = 0.85, 0.15, 0.12


@dataclass(frozen=True)
class Subject:
    """A text with `{}` for each operand, and their types; no type: any."""

    text: str
    operands: tuple[str, ...]
    result: str = ""


def subjects(pair: Pair) -> Sequence[Sequence[Subject]]:
    """All there are, by PostgreSQL's own catalogs; those of the documentation first."""
    listed, called = tuple(_listed()), tuple(_functions(pair))
    return listed, listed, called, tuple(_operators()), called, tuple(_casts())


def _listed() -> Iterator[Subject]:
    for expression in EXPRESSIONS:
        yield _plain(expression)
        if expression.is_aggregate and expression.operands and "ORDER BY" not in expression.text:
            yield Subject(expression.text.replace("(", "(DISTINCT ", 1), expression.operands)


def _plain(expression: Expression) -> Subject:
    kinds = list(expression.operands)
    for at, kind in enumerate(kinds):
        kinds[at] = kinds[at - 1] if kind == SAME else kind
    result = "" if expression.is_aggregate else expression.result
    return Subject(expression.text, tuple(kinds), result)


def _functions(pair: Pair) -> Iterator[Subject]:
    written = {name: short for short, name in TYPES.items()}
    written |= {
        **POLYMORPHIC,
        "character varying": "varchar",
        "character": "bpchar",
        "time without time zone": "time",
        "timestamp without time zone": "timestamp",
        "timestamp with time zone": "timestamptz",
    }
    known = functions.names() - UNPROMISED - {function.name for function in system.rows()}
    [answer] = pair.theirs.query(ASKED)
    for name, types in answer.rows:
        assert name is not None
        assert types is not None
        called = name.decode()
        kinds = [written.get(kind, "") for kind in types.decode().split("|")] if types else []
        if called in known and all(kinds):
            yield Subject(f"{called}({', '.join(['{}'] * len(kinds))})", tuple(kinds))


def _operators() -> Iterator[Subject]:
    for sign, count in sorted(operators.OPERATORS):
        if sign in UNPROMISED:
            continue
        for kind in TYPES:
            if count == 1:
                yield Subject(f"{sign} {{}}", (kind,))
            else:
                yield Subject(f"{{}} {sign} {{}}", (kind, ""))
                yield Subject(f"{{}} {sign} {{}}", ("", kind))


def _casts() -> Iterator[Subject]:
    for kind in TYPES:
        for target in (*TYPES.values(), "varchar(2)", "numeric(4,1)", "timestamp(1)", "date[]"):
            yield Subject(f"CAST({{}} AS {target})", (kind,))


@dataclass
class Sweep:
    """Statements drawn from one seed."""

    rng: random.Random
    subjects: Sequence[Sequence[Subject]]
    """By where they come from: each is as likely."""

    def make(self) -> Made:
        """`SELECT` of one expression."""
        tree = self._applied(self.rng.choice(self.rng.choice(self.subjects)))
        forms = ["SELECT {}"]
        is_prepared = self.rng.random() < 0.4
        if not is_prepared and self.rng.random() < EMPTY_SHARE:
            forms = ["SELECT {} FROM (VALUES (1)) AS v (x) WHERE x > 1", "SELECT {} WHERE false"]
        is_binary = is_prepared and self.rng.random() < 0.4
        whole = template(self.rng.choice(forms), tree)
        return Made(whole, is_ordered=True, is_prepared=is_prepared, is_binary=is_binary)

    def _applied(self, subject: Subject, *, is_inner: bool = False) -> Tree:
        any_type = self.rng.random() > OWN_SHARE
        nests = not is_inner and self.rng.random() < NESTED_SHARE
        operands: list[Tree] = []
        for kind in subject.operands:
            is_other = not kind or (any_type and self.rng.random() < 0.5)
            taken = self.rng.choice(list(TYPES)) if is_other else kind
            if nests and self.rng.random() < 0.5:
                operands.append(self._nested(taken))
            else:  # of what may fail beside NULL nothing is promised
                operands.append(self._operand(taken, may_be_null=not nests and not is_inner))
        return template(subject.text, *operands, type_=subject.result or "text", tag=subject.text)

    def _nested(self, kind: str) -> Tree:
        inner = [subject for subject in self.subjects[0] if subject.result == kind]
        if not inner:
            return self._operand(kind, may_be_null=False)
        return template("({})", self._applied(self.rng.choice(inner), is_inner=True))

    def _operand(self, kind: str, *, may_be_null: bool) -> Tree:
        way = self.rng.random()
        if way < 0.06 and may_be_null:
            text = self.rng.choice(["NULL", f"NULL::{TYPES[kind]}"])
            oid = 0 if text == "NULL" else OIDS[kind]
            return leaf(text, kind, parameter=Parameter(None, oid))
        value = self.rng.choice(TAME[kind] if self.rng.random() < 0.55 else EDGES[kind])
        quoted = "'" + value.replace("'", "''") + "'"
        if way < 0.2:
            return leaf(quoted, kind, parameter=Parameter(value, 0))
        text = value if kind == "int4" and not value.startswith("-") else f"{quoted}::{TYPES[kind]}"
        oid = OIDS[kind] if way < 0.85 else 0
        return leaf(text, kind, parameter=Parameter(value, oid))
