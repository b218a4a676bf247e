"""Expressions at random: operators, calls, casts, columns, literals, parameters, subqueries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tests.suites.differential.chance import VAGUE, Chance, Column
from tests.suites.differential.constructs import (
    OIDS,
    SAME,
    SIMPLEST,
    TAME,
    TYPES,
    WILD,
    Expression,
)
from tests.suites.differential.trees import (
    Parameter,
    Tree,
    leaf,
    template,
    without_parameters,
    words,
)

__all__ = ["KEYS", "Room", "Values", "wrapped"]

KEYS: Final = 12
"""Keys of rows, so that some meet."""

UNTAMED: Final = frozenset({"logic", "comparisons", "text", "JSON", "arrays", "bytea"})
"""Sections whose operators take any value there is."""

EXTREMES: Final = ("int2", "int4", "int8", "text", "date", "time", "timestamp", "timestamptz")
"""Types of which the least and the greatest value look alike on all servers."""


@dataclass
class Room:
    """What an expression may have at its place."""

    columns: Sequence[Column]
    depth: int
    is_tame: bool = False
    is_lazy: bool = False


class Values(Chance):
    def inner(self, room: Room, **changes: bool) -> Room:
        return Room(
            room.columns,
            max(room.depth - 1, 0),
            room.is_tame or changes.get("is_tame", False),
            room.is_lazy or changes.get("is_lazy", False),
        )

    def expression(self, type_: str, room: Room) -> Tree:
        if room.depth == 0 or self.one_of(0.15):
            return self.leaf(type_, room)
        if type_ in EXTREMES and self.wants("scalar subquery", 0.03):
            found = self._scalar(type_, room)
            if found is not None:
                return found
        may_fail = self.may_fail and not room.is_lazy
        choices = [e for e in self.by_type.get(type_, ()) if may_fail or not e.may_fail]
        if self.one_of(self.refused_share):
            choices = [e for e in self.rest if e.result == type_ and not e.is_aggregate] or choices
        if not choices:
            return self.leaf(type_, room)
        expression = self.rng.choice(choices)
        if not expression.may_fail:
            return self.applied(expression, room)
        self.may_fail = False
        if not room.columns:
            return self.applied(expression, room)
        # Over no rows a constant fails to a server that computes it while planning, and not to
        # another, so there has to be a column in it, which is not a constant's name either.
        bare = Room(room.columns, 1, room.is_tame, room.is_lazy)
        made = without_parameters(self.applied(expression, bare))
        names = {column.name for column in room.columns if not column.is_constant}
        return made if names & set(words(made)) else self.leaf(type_, room)

    def applied(self, expression: Expression, room: Room, *, wraps: bool = True) -> Tree:
        inner = self.inner(
            room,
            is_tame=expression.section not in UNTAMED and not expression.is_aggregate,
            is_lazy=expression.is_lazy,
        )
        operands: list[Tree] = []
        failing = -1
        for at, kind in enumerate(expression.operands):
            could_fail = self.may_fail
            again = operands[-1:] if kind == SAME else []
            operands += again or [wrapped(self.expression(kind, inner))]
            failing = at if could_fail and not self.may_fail else failing
        if failing >= 0:
            operands = self._beside(failing, expression.operands, operands, room)
        return template(expression.text, *operands, type_=expression.result, tag=expression.name)

    def _beside(
        self, failing: int, kinds: Sequence[str], operands: Sequence[Tree], room: Room
    ) -> list[Tree]:
        """The operands, of which one may fail. A planner that finds NULL for another one knows
        that the call is NULL and computes none of them, so no constant is left that may be."""
        names = {column.name for column in room.columns if not column.is_constant}
        kept: list[Tree] = []
        for at, (kind, operand) in enumerate(zip(kinds, operands, strict=True)):
            found = list(words(operand))
            is_null = not names & set(found) or any(word.startswith("NULL") for word in found)
            if kind == SAME:
                kept.append(kept[-1])
            elif at == failing or not is_null:
                kept.append(operand)
            else:
                kept.append(wrapped(leaf(SIMPLEST[kind], kind)))
        return kept

    def _scalar(self, type_: str, room: Room) -> Tree | None:
        """One value of another table, for each row perhaps another."""
        table = self.table()
        columns = [c for c in table.columns if c.type == type_ and not (c.is_wild and room.is_tame)]
        if not columns:
            return None
        column = self.rng.choice(columns)
        word = self.rng.choice(["min", "max"])
        key = table.columns[0]
        outer = [c for c in room.columns if c.type == key.type]
        where, tag = "", "scalar subquery"
        if outer and self.has("correlated subquery") and self.one_of(0.6):
            name = self.rng.choice(outer).name
            if "." in name:  # or it would be the inner table's
                where, tag = f" WHERE z.{key.name} >= {name}", "correlated subquery"
        text = f"(SELECT {word}(z.{column.name}) FROM {table.name} AS z{where})"
        return leaf(text, type_, tag=tag)

    def leaf(self, type_: str, room: Room) -> Tree:
        columns = [c for c in room.columns if c.type == type_ and not (c.is_wild and room.is_tame)]
        if columns and self.one_of(0.7):
            return leaf(self.rng.choice(columns).name, type_)
        return self.literal(type_, tame=room.is_tame)

    def literal(self, type_: str, *, tame: bool = False) -> Tree:
        written = TYPES[type_]
        if self.one_of(0.06):
            return leaf(self.rng.choice(["NULL", f"NULL::{written}"]), type_)
        values = TAME[type_] if tame or self.one_of(0.6) else WILD[type_]
        value = self.rng.choice(values)
        quoted = "'" + value.replace("'", "''") + "'"
        style = self.rng.random()
        is_bare = {
            "int4": style < 0.8,
            "bool": style < 0.8,
            "numeric": "." in value and style < 0.5,
        }
        if is_bare.get(type_, False):
            text = f"({value})" if value.startswith("-") else value
        elif type_ in ("int2", "int8") and style < 0.3 and not value.startswith("-"):
            text = f"{value}::{written}"
        elif type_ == "text" and style < 0.8:
            text = quoted
        elif style < 0.9:
            text = f"{quoted}::{written}"
        else:
            text = f"CAST({quoted} AS {written})"
        return leaf(text, type_, parameter=self.parameter(value, type_))

    def parameter(self, value: str, type_: str) -> Parameter | None:
        """For half of the leaves, should the statement be prepared."""
        if self.one_of(0.5):
            return None
        # AT TIME ZONE takes either of two types, and gives the other: that is no mistake.
        if self.may_fail and type_ not in ("timestamp", "timestamptz") and self.one_of(0.2):
            self.may_fail = False  # the value may be none of the type that the server finds
            return Parameter(value, 0)
        return Parameter(value, OIDS[type_])

    def key(self, type_: str) -> Tree:
        number = self.rng.randint(1, KEYS)
        text = f"'k{number}'" if type_ == "text" else str(number)
        return leaf(text, type_, parameter=self.parameter(text.strip("'"), type_))

    def condition(self, room: Room) -> Tree:
        table = self.table()
        if self.wants("EXISTS", 0.04):
            same = [
                c.name for c in room.columns if c.type == table.columns[0].type and "." in c.name
            ]
            where = ""
            if same and self.one_of(0.5):
                where = f" WHERE z.{table.columns[0].name} = {self.rng.choice(same)}"
            return leaf(f"EXISTS (SELECT 1 FROM {table.name} AS z{where})", tag="EXISTS")
        for construct, form in (
            ("IN (subquery)", "{{}} IN ({})"),
            ("NOT IN (subquery)", "{{}} NOT IN ({})"),
            ("ANY (subquery)", self.rng.choice(["{{}} = ANY ({})", "{{}} < ANY ({})"])),
            ("ANY (subquery)", self.rng.choice(["{{}} <> ALL ({})", "{{}} >= ALL ({})"])),
        ):
            column = self.rng.choice(table.columns)
            if column.type not in VAGUE and self.wants(construct, 0.02):
                value = self.expression(column.type, self.inner(room))
                text = form.format(f"SELECT z.{column.name} FROM {table.name} AS z")
                return template(text, wrapped(value), tag=construct)
        return wrapped(self.expression("bool", room))


def wrapped(tree: Tree) -> Tree:
    """In parentheses, where it is no single word."""
    if not tree.children and tree.texts[0].replace(".", "").replace("_", "").isalnum():
        return tree
    return template("({})", tree)
