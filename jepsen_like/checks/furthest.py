"""The order that explains a history until the answer that no order gets past.

What a reader of an invalid verdict wants to see around it: where the innocent operations took
effect. A prefix of a legal history is legal, and the answers before the first illegal one are
legal, so that order exists; it is looked for like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from jepsen_like.checks.linearizable import Budget, check
from jepsen_like.history import Operation
from jepsen_like.models.model import Model, call_of
from jepsen_like.result import Verdict

__all__ = ["OPERATIONS_MAX", "orders_of"]

OPERATIONS_MAX: Final = 200_000


def orders_of(
    history: Sequence[Operation], verdict: Verdict, model: Model, *, seconds: float
) -> dict[Any, Sequence[int]] | None:
    """For each key, positions in `history` in the order of taking effect.

    Of a valid verdict its own; of an invalid one, the key of the counterexample, until the
    answer that gave it away. None: there is none, or it takes too long to find.
    """
    if verdict.validity == "valid":
        return verdict.details.get("linearization")
    stuck, prefix = verdict.details.get("stuck"), verdict.details.get("prefix")
    if stuck is None or prefix is None or prefix["operations"] > OPERATIONS_MAX:
        return None
    culprit = verdict.offending[stuck]
    key = model.partition(culprit)
    positions, until = [], []
    for i, operation in enumerate(history):
        if operation.outcome == "fail" or operation.sent_ns > prefix["until_ns"]:
            continue
        if model.partition(operation) != key:
            continue
        if operation == culprit or operation.returned_ns > prefix["until_ns"]:
            if model.is_pure(call_of(operation)):
                continue
            operation = replace(operation, outcome="info")
        positions.append(i)
        until.append(operation)
    if not until:
        return {}
    found = check(until, model, budget=Budget(seconds=seconds, processes=1))
    order = found.details.get("linearization", {}).get(key)
    return None if order is None else {key: [positions[i] for i in order]}
