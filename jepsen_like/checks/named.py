"""Which judge a history gets: models and consistency conditions by the names people say.

The command line and `judge` use the same names. What a history is about is guessed from its
operations, never from its file; where the guess is not certain, a name is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Literal, TypeAlias

from jepsen_like.checks.linearizable import Budget, check
from jepsen_like.history import Operation
from jepsen_like.models.model import Model
from jepsen_like.models.register import CasRegister
from jepsen_like.models.text import Text
from jepsen_like.result import Verdict

__all__ = ["FailedCas", "Question", "Kind", "KINDS", "NameUnknown", "guess", "judge"]

FailedCas: TypeAlias = Literal["constrains", "dropped"]


class NameUnknown(ValueError):
    """No such model or condition, or one that does not fit; the sentence names those there are."""


@dataclass(frozen=True)
class Question:
    """What is asked about a history."""

    model: str | Model | None = None  # None: guessed from the operations
    consistency: str | None = None  # None: the first of the model's
    initial: Any = None  # None: the model's own
    failed_cas: FailedCas | None = None  # None: as the history was recorded
    seconds: float = 60.0
    memory_bytes: int | None = None

    def budget(self) -> Budget:
        known = {field.name for field in fields(Budget)}
        limits: dict[str, Any] = {"seconds": self.seconds, "memory_bytes": self.memory_bytes}
        return Budget(**{name: value for name, value in limits.items() if name in known})


_Judge: TypeAlias = Callable[[Sequence[Operation], Question, str], Verdict]
"""(history, question, consistency) -> verdict."""


@dataclass(frozen=True)
class Kind:
    """A model by name."""

    name: str
    what: str  # for people, in a line
    consistencies: tuple[str, ...]  # that it can be judged by, the default first
    judge: _Judge


def _linearizable(make: Callable[[Any], Model]) -> _Judge:
    def judge_it(history: Sequence[Operation], question: Question, consistency: str) -> Verdict:
        return check(history, make(question.initial), budget=question.budget())

    return judge_it


_SINGLE: Final = ("linearizable",)

KINDS: Final[dict[str, Kind]] = {
    kind.name: kind
    for kind in (
        Kind(
            "cas-register",
            "read, write, cas of one value per key",
            _SINGLE,
            _linearizable(CasRegister),
        ),
        Kind(
            "kv",
            "get, put, append of a string per key",
            _SINGLE,
            _linearizable(lambda initial: Text("" if initial is None else str(initial))),
        ),
    )
}


def guess(history: Sequence[Operation]) -> str:
    """The model that fits the operations. Raises NameUnknown if none surely does."""
    names = {operation.f for operation in history}
    if names <= {"read", "write", "cas"}:
        return "cas-register"
    if names <= {"get", "put", "append"}:
        return "kv"
    found = ", ".join(sorted(names)[:8])
    raise NameUnknown(f"no model is known for {found}: name one of {', '.join(KINDS)}")


def judge(history: Sequence[Operation], question: Question) -> tuple[str, Verdict]:
    """(the model's name, the verdict). Raises NameUnknown."""
    model = question.model
    if model is not None and not isinstance(model, str):
        verdict = check(history, model, budget=question.budget())
        return type(model).__name__, verdict
    name = model or guess(history)
    if name not in KINDS:
        raise NameUnknown(f"there is no model {name}; there are {', '.join(KINDS)}")
    kind = KINDS[name]
    consistency = question.consistency or kind.consistencies[0]
    if consistency not in kind.consistencies:
        fitting = ", ".join(kind.consistencies)
        raise NameUnknown(f"{name} can be judged as {fitting}, not as {consistency}")
    if question.failed_cas is not None:
        history = _failed_cas_as(history, question.failed_cas)
    return name, kind.judge(history, question, consistency)


def _failed_cas_as(history: Sequence[Operation], meaning: FailedCas) -> list[Operation]:
    """A compare-and-set that failed tells that the value was another one, or tells nothing."""
    changed = []
    for operation in history:
        if operation.f != "cas":
            changed.append(operation)
        elif meaning == "constrains" and operation.outcome == "fail":
            changed.append(replace(operation, outcome="ok", output=False, error=""))
        elif meaning == "dropped" and operation.outcome == "ok" and operation.output is False:
            changed.append(replace(operation, outcome="fail", output=None, error="no match"))
        else:
            changed.append(operation)
    return changed
