"""Which judge a history gets: models and consistency conditions by the names people say.

The command line and `judge` use the same names. What a history is about is guessed from its
operations, never from its file; where the guess is not certain, a name is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias

from jepsen_like.checks import transactions
from jepsen_like.checks.causal import causal
from jepsen_like.checks.collections import (
    constant_total,
    queue_loses_nothing,
    set_loses_nothing,
    unique,
    within_bounds,
)
from jepsen_like.checks.incremental import OnlineChecker
from jepsen_like.checks.linearizable import Budget, check
from jepsen_like.checks.online import Grouping, Online, Rechecked
from jepsen_like.checks.sessions import GUARANTEES, sequential, sessions
from jepsen_like.checks.staleness import staleness
from jepsen_like.history import Operation
from jepsen_like.models import (
    CasRegister,
    Counter,
    FencedLease,
    FifoQueue,
    GrowSet,
    Model,
    MultiRegister,
    Mutex,
    Register,
    Text,
)
from jepsen_like.result import Verdict

__all__ = [
    "FailedCas",
    "Question",
    "Kind",
    "KINDS",
    "NameUnknown",
    "as_failed_cas",
    "guess",
    "judge",
    "model_of",
    "online_of",
]

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
    max_staleness_ns: int | None = None  # of `staleness`: what was promised; None: nothing
    seconds: float = 60.0
    memory_bytes: int | None = None
    is_over: bool = True  # False: it goes on, and what may turn out well is not invalid

    def budget(self) -> Budget:
        """With a limit on memory no helpers: the system bounds one process, and not several."""
        alone = None if self.memory_bytes is None else 1
        return Budget(seconds=self.seconds, memory_bytes=self.memory_bytes, processes=alone)


_Judge: TypeAlias = Callable[[Sequence[Operation], Question, str], Verdict]
"""(history, question, consistency) -> verdict."""


@dataclass(frozen=True)
class Kind:
    """A model by name."""

    name: str
    what: str  # for people, in a line
    consistencies: tuple[str, ...]  # that it can be judged by, the default first
    judge: _Judge
    make: Callable[[Any], Model] | None = None  # initial -> what is linearizable; None: nothing


def _linearizable(make: Callable[[Any], Model]) -> _Judge:
    def judge_it(history: Sequence[Operation], question: Question, consistency: str) -> Verdict:
        return check(history, make(question.initial), budget=question.budget())

    return judge_it


def _register(make: Callable[[Any], Model]) -> _Judge:
    linearizable = _linearizable(make)

    def judge_it(history: Sequence[Operation], question: Question, consistency: str) -> Verdict:
        if consistency == "linearizable":
            return linearizable(history, question, consistency)
        if consistency == "sequential":
            return sequential(history, question.initial)
        if consistency == "causal":
            return causal(history, question.initial)
        if consistency == "staleness":
            limit = question.max_staleness_ns
            return staleness(
                history,
                question.initial,
                max_ns=limit,
                seconds=question.seconds,
                in_full=question.is_over,
            )
        guarantee = None if consistency == "sessions" else consistency
        return sessions(history, guarantee, question.initial)

    return judge_it


def _or_else(
    make: Callable[[Any], Model], weaker: Callable[[Sequence[Operation], Question], Verdict]
) -> _Judge:
    """Linearizable, or the one weaker promise that the type has."""
    linearizable = _linearizable(make)

    def judge_it(history: Sequence[Operation], question: Question, consistency: str) -> Verdict:
        if consistency == "linearizable":
            return linearizable(history, question, consistency)
        return weaker(history, question)

    return judge_it


def _transactions(workload: str) -> _Judge:
    def judge_it(history: Sequence[Operation], question: Question, consistency: str) -> Verdict:
        if consistency == transactions.LONG_FORK:
            return transactions.long_fork(history)
        if consistency == transactions.CAUSAL_REVERSE:
            return transactions.causal_reverse(history)
        return transactions.check(history, workload, consistency)

    return judge_it


def _plain(make: Callable[[], Model]) -> Callable[[Any], Model]:
    return lambda _initial: make()


def _text(initial: Any) -> Model:
    return Text("" if initial is None else str(initial))


def _counter(initial: Any) -> Model:
    return Counter(initial or 0)


def _set(history: Sequence[Operation], question: Question, consistency: str) -> Verdict:
    if consistency == transactions.CAUSAL_REVERSE:
        return transactions.causal_reverse(history)
    either = _or_else(_plain(GrowSet), lambda h, q: set_loses_nothing(h, is_over=q.is_over))
    return either(history, question, consistency)


_NAMED_ANOMALIES: Final = (
    transactions.WRITE_SKEW,
    transactions.LONG_FORK,
    transactions.CAUSAL_REVERSE,
)
_SINGLE: Final = ("linearizable",)
_REGISTER: Final = ("linearizable", "sequential", "causal", "sessions", *GUARANTEES, "staleness")

KINDS: Final[dict[str, Kind]] = {
    kind.name: kind
    for kind in (
        Kind(
            "cas-register",
            "read, write v, cas [old, new]",
            _REGISTER,
            _register(CasRegister),
            CasRegister,
        ),
        Kind("register", "read, write v", _REGISTER, _register(Register), Register),
        Kind(
            "kv",
            "get, put text, append text",
            _SINGLE,
            _linearizable(_text),
            _text,
        ),
        Kind(
            "multi-register",
            "txn [[r, k, nil], [w, k, v]]",
            _SINGLE,
            _linearizable(_plain(MultiRegister)),
            _plain(MultiRegister),
        ),
        Kind(
            "list-append",
            "txn [[r, k, nil], [append, k, v]]",
            (*transactions.CONSISTENCIES, transactions.WRITE_SKEW),
            _transactions("list-append"),
        ),
        Kind(
            "rw-register",
            "txn [[r, k, nil], [w, k, v]], values distinct",
            (*transactions.CONSISTENCIES, *_NAMED_ANOMALIES),
            _transactions("rw-register"),
        ),
        Kind(
            "set",
            "add v, remove v, read -> all of them",
            ("linearizable", "nothing-lost", transactions.CAUSAL_REVERSE),
            _set,
            _plain(GrowSet),
        ),
        Kind(
            "queue",
            "enqueue v, dequeue -> v or nil",
            ("linearizable", "nothing-lost"),
            _or_else(_plain(FifoQueue), lambda h, q: queue_loses_nothing(h, is_over=q.is_over)),
            _plain(FifoQueue),
        ),
        Kind(
            "counter",
            "add n, read -> the sum",
            ("linearizable", "within-bounds"),
            _or_else(_counter, lambda h, question: within_bounds(h, question.initial or 0)),
            _counter,
        ),
        Kind(
            "bank",
            "transfer [from, to, amount], read -> {account: balance}",
            ("constant-total",),
            lambda history, question, _: constant_total(history, question.initial),
        ),
        Kind("unique-ids", "generate -> id", ("unique",), lambda history, *_: unique(history)),
        Kind("mutex", "acquire, release", _SINGLE, _linearizable(_plain(Mutex)), _plain(Mutex)),
        Kind(
            "lease",
            "acquire -> token, use token",
            _SINGLE,
            _linearizable(_plain(FencedLease)),
            _plain(FencedLease),
        ),
    )
}


_BY_OPERATIONS: Final = (
    ({"read", "write", "cas"}, "cas-register"),
    ({"get", "put", "append"}, "kv"),
    ({"enqueue", "dequeue"}, "queue"),
    ({"transfer", "read"}, "bank"),
    ({"generate"}, "unique-ids"),
    ({"acquire", "release"}, "mutex"),
)


def guess(history: Sequence[Operation]) -> str:
    """The model that fits the operations. Raises NameUnknown if none surely does."""
    names = {operation.f for operation in history}
    for known, model in _BY_OPERATIONS:
        if names <= known:
            return model
    if names == {"txn"}:
        for operation in history:
            for step in operation.value or ():
                if step and step[0] in ("append", "w"):
                    return "list-append" if step[0] == "append" else "rw-register"
    elif names <= {"add", "read", "remove", "contains"}:
        for operation in history:
            if operation.f == "read" and operation.outcome == "ok":
                return "counter" if isinstance(operation.output, int) else "set"
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
        history = as_failed_cas(history, question.failed_cas)
    return name, kind.judge(history, question, consistency)


_GROUPED_BY_KEY: Final = frozenset(
    ("sequential", "sessions", *GUARANTEES, "staleness", "nothing-lost", "within-bounds")
)


def online_of(question: Question, default: str, *, operations_max: int) -> Online:
    """What answers the question while the history happens. Raises NameUnknown.

    `operations_max`: of those that can be judged by themselves only, see `Rechecked`.
    """
    name = default if question.model is None else question.model
    kind = KINDS[name] if isinstance(name, str) else KINDS[default]
    consistency = question.consistency or kind.consistencies[0]
    if not isinstance(name, str) or consistency == "linearizable":
        return OnlineChecker(model_of(question, default))
    if consistency not in kind.consistencies:
        fitting = ", ".join(kind.consistencies)
        raise NameUnknown(f"{kind.name} can be judged as {fitting}, not as {consistency}")

    def judge_it(history: Sequence[Operation], is_over: bool) -> Verdict:
        return kind.judge(history, replace(question, is_over=is_over), consistency)

    by_key: Grouping = "key" if consistency in _GROUPED_BY_KEY else "whole"
    grouping: Grouping = "answer" if consistency == "unique" else by_key
    return Rechecked(consistency, judge_it, grouping, operations_max=operations_max)


def model_of(question: Question, default: str) -> Model:
    """What is judged for linearizability. Raises NameUnknown."""
    if question.model is not None and not isinstance(question.model, str):
        return question.model
    kind = KINDS[question.model or default]
    if kind.make is None or question.consistency not in (None, "linearizable"):
        raise NameUnknown(f"{kind.name} is not judged as linearizable")
    return kind.make(question.initial)


def as_failed_cas(history: Sequence[Operation], meaning: FailedCas) -> list[Operation]:
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
