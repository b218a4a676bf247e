"""A workload: calls, the data they need, what they are in SQL, and the checks that judge it."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, ClassVar, Final, Literal, Protocol, TypeAlias, runtime_checkable

from jepsen_like.generators import keys_needed
from jepsen_like.load import Call
from jepsen_like.models.model import Model

__all__ = [
    "AnswerShape",
    "SqlCall",
    "SqlTransaction",
    "Statements",
    "Workload",
    "Rotating",
    "sql_of",
    "with_name",
]

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*\Z")
NAME_CHARACTERS_MAX: Final = 40

AnswerShape: TypeAlias = Literal["value", "column", "done", "changed", "claimed"]
"""What the answer of a statement means: the one value of its row; the first values of all rows;
nothing; whether it changed a row; its last argument if it changed a row, else None."""


@dataclass(frozen=True, slots=True)
class SqlCall:
    """A call as one statement of SQL with PostgreSQL's parameters.

    `refusals`: SQLSTATEs that are answers and no errors, and what they answer.
    """

    text: str
    arguments: tuple[Any, ...]
    answer: AnswerShape
    refusals: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SqlTransaction:
    """A call as one transaction: `run` yields its statements one by one, is sent the answer of
    each, and returns what the call answers. Nothing of it happens unless its COMMIT is sent."""

    run: Callable[[], Generator[SqlCall, Any, Any]]


Statements: TypeAlias = SqlCall | tuple[SqlCall, ...] | SqlTransaction
"""One statement; or several, sent one after the other and each a transaction of its own: then
the answer is the tuple of their answers; or one transaction."""


@runtime_checkable
class Workload(Protocol):
    """A value: everything about it is a function of its fields and of the seed.

    Any key can be read: a call with f = "read" and no value, which has no effect.
    """

    @property
    def name(self) -> str: ...

    @property
    def weight(self) -> float:
        """Its share of the load, against the weights of the other workloads."""

    @property
    def table(self) -> str:
        """The table its keys are in, for databases that have tables."""

    @property
    def judged_by(self) -> tuple[str, ...]:
        """The names of the checks that can judge it."""

    @property
    def default_checks(self) -> tuple[str, ...]:
        """Those of them that do so if the test asks for nothing else."""

    @property
    def unsure_max(self) -> int | None:
        """Calls of one key whose outcome may be unknown; a key that has its fill is only read."""

    @property
    def initial(self) -> Any:
        """What a read of a fresh key returns."""

    def keys(self, calls: int) -> Sequence[int]:
        """The keys that exist before a load of about `calls` calls starts."""

    def calls(self, rng: random.Random, keys: Sequence[int]) -> Iterator[Call]:
        """Calls on these keys, without end."""

    def model(self) -> Model | None:
        """What is linearizable; None: it is not judged so."""

    def create_sql(self) -> str:
        """Makes the table."""

    def load_sql(self, key: int) -> SqlCall | tuple[SqlCall, ...] | None:
        """Puts one key in its initial state, which None says it is in."""

    def sql(self, call: Call) -> Statements: ...


@dataclass(frozen=True)
class Rotating:
    """What workloads have in common: `keys_at_once` keys in use at a time, each for
    `calls_per_key` calls.

    During a cut the share of the calls whose outcome stays unknown is (share of hosts cut off) x
    (share of writes), about 1/6 where half of the calls write: ten of 60. Under worse faults
    `unsure_max` bounds them, where a check needs that.
    """

    keys_at_once: int = 24
    calls_per_key: int = 60
    _: KW_ONLY
    weight: float = 1.0
    name: str = ""

    initial: ClassVar[Any] = None
    judged_by: ClassVar[tuple[str, ...]] = ()
    unsure_max: ClassVar[int | None] = 10

    def __post_init__(self) -> None:
        if self.keys_at_once < 1 or self.calls_per_key < 1:
            raise ValueError(
                f"the {self.name} workload needs at least one key and one call per key."
            )
        if not 0 < self.weight < float("inf"):
            raise ValueError(f"the weight of the {self.name} workload must be above 0.")
        if len(self.name) > NAME_CHARACTERS_MAX or not _NAME.match(self.name):
            raise ValueError(
                f"{self.name!r} names no workload: write small letters, digits and hyphens, "
                f"{NAME_CHARACTERS_MAX} at most."
            )

    @property
    def default_checks(self) -> tuple[str, ...]:
        return self.judged_by[:1]

    @property
    def table(self) -> str:
        return f"of_{self.name.replace('-', '_')}"

    def keys(self, calls: int) -> Sequence[int]:
        return range(
            keys_needed(keys=self.keys_at_once, calls=calls, calls_per_key=self.calls_per_key)
        )

    def model(self) -> Model | None:
        return None


def sql_of(workloads: Sequence[Workload]) -> Callable[[Call], Statements]:
    """What a call of any of these workloads is in SQL."""
    by_name = {workload.name: workload.sql for workload in workloads}
    return lambda call: by_name[call.workload](call)


def with_name(name: str, calls: Iterator[Call]) -> Iterator[Call]:
    """The calls as those of the workload `name`."""
    return (Call(call.f, call.key, call.value, name, call.home) for call in calls)
