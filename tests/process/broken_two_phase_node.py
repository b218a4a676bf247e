"""Nodes that keep one rule less of the commit over shards: controls of the harness, and no switch
of a node.

    python broken_two_phase_node.py RULE [options of python -m nodes]

`locks`: what is prepared keeps nobody out, and is run when its outcome comes, whatever it answers
by then.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final

from nodes import prepared_work, transaction_unit, two_phase
from nodes.__main__ import main


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


RULES: Final[dict[str, Callable[[], None]]] = {
    "locks": prepare_without_locks,
}


if __name__ == "__main__":
    RULES[sys.argv.pop(1)]()
    main()
