"""Each construct by itself, on both servers: has this database it, and does it answer the same?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.suites.differential.comparison import difference, is_refusal
from tests.suites.differential.constructs import EXPRESSIONS, SAME, TAME, TYPES, Expression
from tests.suites.differential.pair import Pair
from tests.suites.differential.statements import STATEMENTS, TABLES

__all__ = ["Finding", "measure", "measure_expressions", "measure_statements", "question"]


@dataclass(frozen=True)
class Finding:
    """What became of one construct."""

    section: str
    name: str
    sql: str
    refusal: str = ""
    """This database refuses it: its message."""
    hint: str = ""
    """What it says to do instead."""
    different: str = ""

    @property
    def is_supported(self) -> bool:
        return not self.refusal and not self.different


def literal(type_: str, at: int = 0) -> str:
    """Some value of the type, typed."""
    value = TAME[type_][at % len(TAME[type_])].replace("'", "''")
    return f"'{value}'::{TYPES[type_]}"


def question(expression: Expression, operands: Sequence[str]) -> str:
    """The expression with these operands."""
    return expression.around([f"({operand})" for operand in operands])


def measure(pair: Pair) -> list[Finding]:
    """All constructs."""
    return [*measure_expressions(pair), *measure_statements(pair)]


def measure_expressions(pair: Pair) -> Iterator[Finding]:
    pair.reset()
    for expression in EXPRESSIONS:
        operands = [
            "" if o == SAME else literal(o, 2 + at) for at, o in enumerate(expression.operands)
        ]
        sql = f"SELECT {question(expression, operands)}"
        yield _finding(pair, expression.section, expression.name, (sql,))


def measure_statements(pair: Pair) -> Iterator[Finding]:
    is_clean = False
    for example in STATEMENTS:
        if not is_clean:
            pair.reset()
            for sql in TABLES:
                pair.both(sql)
        yield _finding(pair, example.section, example.name, example.script)
        is_clean = example.script[0].startswith(("SELECT", "VALUES", "TABLE"))


def _finding(pair: Pair, section: str, name: str, script: Sequence[str]) -> Finding:
    shown = "; ".join(script)
    for sql in script:
        ours = pair.ours.query(sql)
        if is_refusal(ours):
            error = next(answer.error for answer in ours if answer.error is not None)
            said = error.get("M", "")
            return Finding(section, name, shown, refusal=said, hint=error.get("H", said))
        found = difference(ours, pair.theirs.query(sql))
        if not found and pair.ours.status != pair.theirs.status:
            found = f"transaction: {pair.ours.status} instead of {pair.theirs.status}"
        if found:
            return Finding(section, name, shown, different=f"{sql}: {found}")
    return Finding(section, name, shown)
