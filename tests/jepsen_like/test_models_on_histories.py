"""Every model: a real object of its kind answers legal histories; brute force agrees on any.

One random driver serves all: operations are drawn, put in an order, and answered by the model
itself, choosing at random among the outputs it allows.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from jepsen_like.checks.linearizable import Budget, check
from jepsen_like.history import Operation
from jepsen_like.models import (
    ILLEGAL,
    Bank,
    Call,
    CasRegister,
    ChoiceModel,
    Counter,
    FencedLease,
    FifoQueue,
    GrowSet,
    Model,
    MultiRegister,
    Mutex,
    Register,
    State,
    Text,
    call_of,
)
from tests.jepsen_like.histories import explainable, op
from tests.jepsen_like.oracle import compared

HISTORIES = int(os.environ.get("ORACLE_HISTORIES", "60"))

QUICK = Budget(shrink_seconds=-1)  # the verdict is what matters here

Draw = Callable[[random.Random], tuple[str, Any]]
Outputs = Callable[[str, Any], list[Any]]


@dataclass(frozen=True)
class Kind:
    """How to draw operations of a model, and what they might answer."""

    model: Model
    draw: Draw
    outputs: Outputs


def from_list(*operations: tuple[str, Any]) -> Draw:
    return lambda rng: rng.choice(operations)


def with_outputs(**outputs: list[Any]) -> Outputs:
    return lambda f, _: outputs.get(f, [None])


def subsets(items: str) -> list[tuple[str, ...]]:
    return [
        tuple(x for k, x in enumerate(items) if mask >> k & 1) for mask in range(1 << len(items))
    ]


def texts(length: int) -> list[str]:
    found = [""]
    for text in found:
        if len(text) < length:
            found += [text + x for x in "ab"]
    return found


def filled_in(_: str, value: Any) -> list[Any]:
    answers: list[tuple[Any, ...]] = [()]
    for kind, key, given in value:
        can_be = [given] if kind == "w" else [None, 1, 2]
        answers = [(*answer, (kind, key, x)) for answer in answers for x in can_be]
    return answers


class Dice(ChoiceModel):
    """roll: the value is any of 1..3 afterwards; read -> the value. For choices of one's own."""

    def start(self) -> State:
        return 0

    def choices(self, state: State, call: Call) -> Iterable[State]:
        if call.f == "roll":
            return (1, 2, 3)
        return (state,) if not call.returned or call.output == state else ()

    def says_nothing(self, call: Call) -> bool:
        return call.f == "read"


REGISTER = from_list(("read", None), ("read", None), ("write", 1), ("write", 2))
CAS = from_list(("read", None), ("write", 1), ("cas", (1, 2)), ("cas", (2, 1)), ("cas", (1, 1)))
BALANCES = [tuple({"a": a, "b": 3 - a}.items()) for a in range(4)]
KINDS = {
    "register": Kind(Register(), REGISTER, with_outputs(read=[None, 1, 2])),
    "register from 1": Kind(Register(1), REGISTER, with_outputs(read=[None, 1, 2])),
    "cas": Kind(CasRegister(), CAS, with_outputs(read=[None, 1, 2], cas=[True, False])),
    "cas dropped": Kind(
        CasRegister(failed_cas="dropped"), CAS, with_outputs(read=[None, 1, 2], cas=[True, False])
    ),
    "multi-register": Kind(
        MultiRegister(),
        from_list(
            ("txn", (("r", "x", None), ("r", "y", None))),
            ("txn", (("w", "x", 1), ("w", "y", 1))),
            ("txn", (("r", "x", None), ("w", "y", 2))),
            ("txn", (("r", "y", None), ("w", "x", 2))),
        ),
        filled_in,
    ),
    "text": Kind(
        Text(),
        from_list(("get", None), ("get", None), ("append", "a"), ("append", "b"), ("put", "a")),
        with_outputs(get=texts(3)),
    ),
    "counter": Kind(
        Counter(),
        from_list(("read", None), ("add", 1), ("add", 2)),
        with_outputs(read=list(range(9)), add=[None, 1, 2, 3, 4]),
    ),
    "set": Kind(
        GrowSet(),
        from_list(("read", None), ("add", "x"), ("add", "y"), ("remove", "x"), ("contains", "x")),
        with_outputs(read=subsets("xy"), contains=[True, False]),
    ),
    "queue": Kind(
        FifoQueue(),
        from_list(("enqueue", 1), ("enqueue", 2), ("dequeue", None), ("dequeue", None)),
        with_outputs(dequeue=[None, 1, 2]),
    ),
    "mutex": Kind(
        Mutex(),
        from_list(("acquire", None), ("release", None)),
        with_outputs(acquire=[True, False, None], release=[True, False, None]),
    ),
    "lease": Kind(
        FencedLease(),
        from_list(("acquire", None), ("use", 1), ("use", 2), ("use", 3)),
        with_outputs(acquire=[1, 2, 3, 4], use=[True, False]),
    ),
    "bank": Kind(
        Bank({"a": 2, "b": 1}),
        from_list(
            ("read", None), ("transfer", ("a", "b", 1)), ("transfer", ("b", "a", 2)),
            ("transfer", ("a", "b", 3)),
        ),
        with_outputs(read=BALANCES, transfer=[True, False]),
    ),
    "dice": Kind(
        Dice(), from_list(("read", None), ("read", None), ("roll", None)),
        with_outputs(read=[0, 1, 2, 3]),
    ),
}  # fmt: skip


def history_of(kind: Kind, seed: int, *, corrupt: bool) -> list[Operation]:
    rng = random.Random(seed)
    clients = rng.randrange(1, 5)
    free_at = [0] * clients
    drawn = []
    for _ in range(rng.randrange(2, 9)):
        client = rng.randrange(clients)
        sent = free_at[client] + rng.randrange(3)
        returned = sent + rng.randrange(6)
        free_at[client] = returned + 1
        drawn.append((rng.uniform(sent, returned), sent, returned))
    state = kind.model.init()
    history = []
    for _, *at in sorted(drawn):
        f, value = kind.draw(rng)
        outputs = kind.outputs(f, value)
        operation = op(f, value, None, at=(at[0], at[1]))
        if rng.random() < 0.15:
            operation = replace(operation, outcome="info")
            legal: list[Any] = [None]
        else:
            legal = [
                x for x in outputs if kind.model.step(state, Call(f, value, x, True)) is not ILLEGAL
            ]
        if not legal:
            continue
        operation = replace(operation, output=rng.choice(legal))
        if operation.outcome == "ok" or rng.random() < 0.5:
            after = kind.model.step(state, call_of(operation))
            assert after is not ILLEGAL
            state = after
        if corrupt and operation.outcome == "ok" and rng.random() < 0.3:
            operation = replace(operation, output=rng.choice(outputs))
        history.append(operation)
    return history


@pytest.mark.parametrize("name", KINDS)
def test_what_a_real_object_answered_is_valid(name: str) -> None:
    for seed in range(HISTORIES):
        history = history_of(KINDS[name], seed, corrupt=False)
        verdict = check(history, KINDS[name].model)
        assert verdict.validity == "valid", (seed, verdict)


@pytest.mark.parametrize("name", KINDS)
def test_agrees_with_brute_force(name: str) -> None:
    model = KINDS[name].model
    said = set()
    for seed in range(HISTORIES):
        history = history_of(KINDS[name], seed, corrupt=True)
        verdict = check(history, model, budget=QUICK)
        expected = "valid" if explainable(history, model) else "invalid"
        assert verdict.validity == expected, (seed, history)
        compared(history, f"model {name}")
        said.add(expected)
    assert said == {"valid", "invalid"}


@pytest.mark.parametrize("name", KINDS)
def test_a_pure_call_changes_no_state_and_what_is_observable_keeps_steps(name: str) -> None:
    kind = KINDS[name]
    for seed in range(HISTORIES):
        calls = [call_of(o) for o in history_of(kind, seed, corrupt=True)]
        canonical = kind.model.observable(calls) or (lambda state: state)
        states = [kind.model.init()]
        for call in calls:
            after = kind.model.step(states[-1], call)
            states.append(states[-1] if after is ILLEGAL else after)
        for state in states:
            for call in calls:
                after = kind.model.step(state, call)
                if after is not ILLEGAL and kind.model.is_pure(call):
                    assert after == state
                collapsed = kind.model.step(canonical(state), call)
                assert (after is ILLEGAL) == (collapsed is ILLEGAL)
                if after is not ILLEGAL and collapsed is not ILLEGAL:
                    assert canonical(after) == canonical(collapsed)


@pytest.mark.parametrize("name", KINDS)
def test_the_run_of_a_model_is_its_steps(name: str) -> None:
    model = KINDS[name].model
    for seed in range(HISTORIES):
        history = history_of(KINDS[name], seed, corrupt=True)
        assert model.first_illegal(history) == Model.first_illegal(model, history)


@pytest.mark.parametrize("name", KINDS)
def test_every_operation_has_words_and_an_unknown_one_is_an_error(name: str) -> None:
    model = KINDS[name].model
    for seed in range(20):
        for operation in history_of(KINDS[name], seed, corrupt=False):
            assert len(model.describe(call_of(operation))) > 2
    if name != "dice":
        with pytest.raises(ValueError, match="not 'fly'"):
            model.step(model.init(), Call("fly", None, None, True))


def test_a_register_has_no_cas() -> None:
    with pytest.raises(ValueError, match="not 'cas'"):
        Register().step(None, Call("cas", (1, 2), True, True))


def test_a_fenced_token_is_never_accepted_again() -> None:
    first, second = op("acquire", None, 1, at=(0, 1)), op("acquire", None, 2, at=(2, 3))
    late = op("use", 1, True, at=(4, 5))
    assert check([first, second, late], FencedLease()).validity == "invalid"
    assert check([first, late], FencedLease()).validity == "valid"
    lost = op("acquire", None, None, at=(2, 3), outcome="info")
    assert check([first, lost, late], FencedLease()).validity == "valid"
    refused = replace(late, output=False)
    assert check([first, lost, refused], FencedLease()).validity == "valid"
    assert check([first, refused], FencedLease()).validity == "invalid"


def test_two_reads_of_one_roll_agree() -> None:
    roll = op("roll", at=(0, 1))
    one, two = op("read", None, 1, at=(2, 3)), op("read", None, 2, at=(4, 5))
    assert check([roll, one], Dice()).validity == "valid"
    assert check([roll, one, two], Dice()).validity == "invalid"
