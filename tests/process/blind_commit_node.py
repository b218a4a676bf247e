"""A node that commits transactions without validating them: a control of the harness, and no
switch of a node.

It runs the steps of a COMMIT and looks at none of their answers, as a database would that trusts
what was read when it was read. Started in the place of `python -m nodes`, with the same options.
"""

from __future__ import annotations

from nodes import speculation, transaction_unit
from nodes.__main__ import main


def believe(_step: object, _outcome: object, _ordinal: int) -> None:
    """In the place of the comparison of digests (docs/transactions.md)."""


def break_validation() -> None:
    for module in (transaction_unit, speculation):
        assert callable(module.refuse_difference)
        module.refuse_difference = believe  # type: ignore[attr-defined]


if __name__ == "__main__":
    break_validation()
    main()
