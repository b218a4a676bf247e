"""A long history of distinct values, judged as columns: no object per operation is made.

Only the common good case ends here: every key linearizable, values written once. Anything else
is None and takes the usual way, which also finds out why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

from jepsen_like.checks import fast
from jepsen_like.checks.layout import NEVER
from jepsen_like.checks.objects import LeftOut, looks_distinct
from jepsen_like.history import Operation
from jepsen_like.models.model import MISMATCH, NOTHING, Model

__all__ = ["OPERATIONS_MIN", "Orders", "orders_of", "columns_for_numpy"]

PROBE = 512  # operations looked at before all are
OPERATIONS_MIN = 20_000  # below, loading numpy takes longer than the check


@runtime_checkable
class Columnar(Protocol):
    """A history that keeps its columns; positions are those of its operations."""

    @property
    def f(self) -> Sequence[str]: ...
    @property
    def key(self) -> Sequence[int | str]: ...
    @property
    def value(self) -> Sequence[Any]: ...
    @property
    def outcome(self) -> Sequence[str]: ...
    @property
    def output(self) -> Sequence[Any]: ...
    @property
    def sent_ns(self) -> Sequence[int]: ...
    @property
    def returned_ns(self) -> Sequence[int]: ...


class _Columns(NamedTuple):
    f: Sequence[str]
    key: Sequence[int | str]
    value: Sequence[Any]
    outcome: Sequence[str]
    output: Sequence[Any]
    sent_ns: Sequence[int]
    returned_ns: Sequence[int]


@dataclass(frozen=True)
class Orders:
    """For each key an order, as positions in the history, that explains it."""

    of: dict[int | str, list[int]]
    left_out: LeftOut
    operations: int  # that the orders had to explain


def orders_of(history: Sequence[Operation], model: Model) -> Orders | None:
    """None: not found here."""
    if len(history) < OPERATIONS_MIN or type(model).partition is not Model.partition:
        return None
    if not fast.available():
        return None
    try:
        probe = history[:PROBE]
        versions = model.versions(probe)
        if versions is None or MISMATCH in versions.kind or not looks_distinct(probe, model):
            return None
        return _orders(_columns(history), model)
    except (TypeError, ValueError):
        return None  # the usual way says what is wrong, and where


def _columns(history: Sequence[Operation]) -> Columnar:
    if isinstance(history, Columnar):
        return history
    return _Columns(
        [o.f for o in history],
        [o.key for o in history],
        [o.value for o in history],
        [o.outcome for o in history],
        [o.output for o in history],
        [o.sent_ns for o in history],
        [o.returned_ns for o in history],
    )


def columns_for_numpy(history: Sequence[Operation], model: Model) -> fast.Columns | None:
    """What `fast.decide_all` takes, as 64-bit numbers; None: the model's states are no versions."""
    numbered = _numbered(_columns(history), model)
    return None if numbered is None else numbered.columns.as_arrays()


@dataclass(frozen=True)
class _Numbered:
    columns: fast.Columns
    keys: list[int | str]
    left_out: LeftOut


def _numbered(columns: Columnar, model: Model) -> _Numbered | None:
    outcome = columns.outcome
    versions = model.versions_of_columns(columns.f, columns.value, outcome, columns.output)
    if versions is None:
        return None
    failed = outcome.count("fail")
    unanswered = 0
    returned: Sequence[int] = columns.returned_ns
    if failed or "info" in outcome:
        pairs = zip(outcome, returned, strict=True)
        returned = [t if o == "ok" else NEVER for o, t in pairs]
        unanswered = sum(
            o == "info" and kind == NOTHING for o, kind in zip(outcome, versions.kind, strict=True)
        )
    names: dict[Any, int] = {versions.initial: fast.INITIAL}
    before, after = _numbers(versions.before, names), _numbers(versions.after, names)
    keys: dict[int | str, int] = {}
    objects = [keys.setdefault(k, len(keys)) for k in columns.key]
    numbers = fast.Columns(columns.sent_ns, returned, objects, versions.kind, before, after)
    return _Numbered(numbers, list(keys), LeftOut(failed, unanswered))


def _orders(columns: Columnar, model: Model) -> Orders | None:
    numbered = _numbered(columns, model)
    answer = None if numbered is None else fast.decide_all(numbered.columns)
    if numbered is None or answer is None or answer.illegal or answer.unclear:
        return None
    objects = numbered.columns.key
    orders: list[list[int]] = [[] for _ in numbered.keys]
    for position in answer.order.tolist():
        orders[objects[position]].append(position)
    left_out = numbered.left_out
    count = len(objects) - left_out.failed - left_out.unanswered
    return Orders(dict(zip(numbered.keys, orders, strict=True)), left_out, count)


def _numbers(values: Sequence[Any], names: dict[Any, int]) -> list[int]:
    number = names.setdefault
    return [number(value, len(names) - 1) for value in values]
