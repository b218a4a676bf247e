"""A workload: calls, the data they need, what they are in SQL, and the model that judges them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from jepsen_like.load import Call
from jepsen_like.models.model import Model

__all__ = ["AnswerShape", "SqlCall", "Workload"]

AnswerShape: TypeAlias = Literal["value", "done", "changed"]
"""What the answer of a statement means: the one value of its row; nothing; whether it changed
a row."""


@dataclass(frozen=True, slots=True)
class SqlCall:
    """A call as one statement of SQL with PostgreSQL's parameters."""

    text: str
    arguments: tuple[Any, ...]
    answer: AnswerShape


class Workload(Protocol):
    """A value: everything about it is a function of its fields and of the seed."""

    @property
    def name(self) -> str: ...

    @property
    def table(self) -> str:
        """The table its keys are in, for databases that have tables."""

    def keys(self, calls: int) -> Sequence[int]:
        """The keys that exist before a load of about `calls` calls starts."""

    def calls(self, rng: random.Random, keys: Sequence[int]) -> Iterator[Call]:
        """Calls on these keys, without end."""

    def model(self) -> Model: ...

    def create_sql(self) -> str:
        """Makes the table."""

    def load_sql(self, key: int) -> SqlCall:
        """Puts one key in its initial state."""

    def sql(self, call: Call) -> SqlCall: ...
