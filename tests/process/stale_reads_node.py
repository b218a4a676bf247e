"""A node with a broken Raft core: the positive control of the harness, and no switch of a node.

Its leaders answer reads without asking anybody whether they still lead, and never step down
when they hear from nobody. A cut-off leader then serves what it last knew, while the others
elect a new one and go on: stale reads, which the harness must convict. Started in the place of
`python -m nodes`, with the same options.
"""

from __future__ import annotations

from nodes.__main__ import main
from nodes.raft.core import RaftCore


def confirmed_by_nobody(_core: RaftCore, _leadership: object, _number: int) -> bool:
    """In the place of the round that confirms a read (Ongaro's thesis, section 6.4)."""
    return True


def lead_on(_core: RaftCore, _leadership: object) -> None:
    """In the place of CheckQuorum (section 6.2)."""


def break_the_core() -> None:
    for name, method in (("_is_round_confirmed", confirmed_by_nobody), ("_check_quorum", lead_on)):
        assert callable(getattr(RaftCore, name)), f"RaftCore has no {name} to break"
        setattr(RaftCore, name, method)


if __name__ == "__main__":
    break_the_core()
    main()
