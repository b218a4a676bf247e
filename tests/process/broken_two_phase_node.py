"""Nodes that keep one rule less of the commit over shards: controls of the harness, and no switch
of a node.

    python broken_two_phase_node.py RULE MILLISECONDS [options of python -m nodes]

`locks`: what is prepared keeps nobody out, and is run when its outcome comes, whatever it answers
by then. `reads`: a read does not wait for the outcome of what is prepared. `decisions`: a node that
starts anew has forgotten what it decided. `plans`: what was planned for a table is done to any
other that has its name. `intact`: none of these.

All of them, the intact one too, take up an OUTCOME that many milliseconds late, as a busy
participant does. So much longer is what the rules are about, and the more surely is it met.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from nodes import applied_state, bounds, machine, prepared_work, transaction_unit, two_phase
from nodes.__main__ import main
from nodes.machine import Machine
from nodes.protocol import (
    Busy,
    EntryBody,
    Guard,
    Locked,
    Request,
    Speculate,
    TransactionId,
    TransactionOutcome,
)
from nodes.service import Answer, GroupService
from nodes.work import Work


def take_up_outcomes_late(seconds: float) -> None:
    as_it_is = GroupService.on_command

    def on_command(
        self: GroupService, request: Request, command: EntryBody, answer: Answer
    ) -> Work | None:
        if not isinstance(command, TransactionOutcome):
            return as_it_is(self, request, command, answer)
        asyncio.get_running_loop().call_later(seconds, as_it_is, self, request, command, answer)
        return None

    GroupService.on_command = on_command  # type: ignore[method-assign]


def prepare_without_locks() -> None:
    def nobody(_self: object, _touched: object, _but: object = None) -> None:
        return None

    def run(self: prepared_work.PreparedWork, held: two_phase.Held) -> None:
        compare, digest = transaction_unit.refuse_difference, prepared_work._digest
        transaction_unit.refuse_difference = lambda *_: None
        prepared_work._digest = lambda results: held.digest
        try:
            as_it_is(self, held)
        finally:
            transaction_unit.refuse_difference = compare
            prepared_work._digest = digest

    as_it_is = prepared_work.PreparedWork.run
    prepared_work.PreparedWork.run = run  # type: ignore[method-assign]
    two_phase.TwoPhase.holder = nobody  # type: ignore[method-assign,assignment]
    two_phase.TwoPhaseView.holder = nobody  # type: ignore[method-assign,assignment]


def read_past_what_is_prepared() -> None:
    def nobody(_self: object, _asked: object) -> None:
        return None

    def cannot_speculate(self: Machine, asked: Speculate) -> Busy | Locked | None:
        answer = as_it_is(self, asked)
        return None if isinstance(answer, Locked) else answer

    as_it_is = Machine._cannot_speculate
    Machine._cannot_speculate = cannot_speculate  # type: ignore[method-assign]
    Machine.read_lock = nobody  # type: ignore[method-assign,assignment]


def forget_decisions() -> None:
    as_it_is = two_phase.TwoPhase.restore

    def restore(
        self: two_phase.TwoPhase,
        held: Iterable[tuple[TransactionId, two_phase.Held]],
        _decided: object,
    ) -> None:
        as_it_is(self, held, ())

    two_phase.TwoPhase.restore = restore  # type: ignore[method-assign,assignment]


def keep_plans_over_drops() -> None:
    def without_tables(guards: Sequence[Guard]) -> tuple[Guard, ...]:
        return tuple(guard for guard in guards if not guard.object.startswith("table:"))

    in_entries, in_reads = applied_state.stale, bounds.stale_guard

    def stale(guards: Sequence[Guard], versions: Mapping[str, int]) -> object:
        return in_entries(without_tables(guards), versions)

    def stale_guard(raw: object, guards: Sequence[Guard]) -> object:
        return in_reads(raw, without_tables(guards))  # type: ignore[arg-type]

    for module, name, instead in (
        (applied_state, "stale", stale),
        (machine, "stale", stale),
        (machine, "stale_guard", stale_guard),
    ):
        assert hasattr(module, name)
        setattr(module, name, instead)


RULES: Final[dict[str, Callable[[], None]]] = {
    "intact": lambda: None,
    "locks": prepare_without_locks,
    "reads": read_past_what_is_prepared,
    "decisions": forget_decisions,
    "plans": keep_plans_over_drops,
}


if __name__ == "__main__":
    RULES[sys.argv.pop(1)]()
    take_up_outcomes_late(int(sys.argv.pop(1)) / 1000)
    main()
