"""In which incarnation of its group a replica id was given, and whether two can go together.

A group is founded as incarnation 1. An unsafe recovery (`nodes.recovery`) begins another one, on
whose replicas nobody of before has a say. Nobody can know whether the group is recovered on the
other side of a cut as well, so each recovery draws a *mark*: two incarnations that began side by
side are told apart by it. The ids carry everything, read as decimal digits:

    recoveries before | mark, 9 digits | 1 to 1 000 000
            2           483920117          000003           the third id after the second recovery

Of two incarnations one *succeeds* the other if more recoveries lie behind it: what is left of the
other one has to go. With equally many they are *rivals*: each may have acknowledged what the
other lacks, so neither may touch the other, and somebody has to decide.

Pure.
"""

from __future__ import annotations

from typing import Final

__all__ = ["ID_STRIDE", "MARKS", "are_rivals", "first_id_after", "incarnation_of", "succeeds"]

ID_STRIDE: Final = 1_000_000
"""Replica ids of one incarnation; far more than are ever given."""

MARKS: Final = 1_000_000_000
"""Marks are drawn below this: two recoveries are taken for one once in so many times."""


def incarnation_of(replica: int) -> int:
    """The incarnation of a group in which this id was given; the founders' is 1."""
    return (replica - 1) // ID_STRIDE + 1


def first_id_after(replica: int, mark: int) -> int:
    """The first id of an incarnation that succeeds the one of `replica`."""
    assert 0 <= mark < MARKS, f"the mark {mark} is out of range"
    return ((_recoveries(replica) + 1) * MARKS + mark) * ID_STRIDE + 1


def succeeds(replica: int, other: int) -> bool:
    """Whether the incarnation of `replica` came after the one of `other`."""
    return _recoveries(replica) > _recoveries(other)


def are_rivals(replica: int, other: int) -> bool:
    """Whether their incarnations began side by side."""
    same = incarnation_of(replica) == incarnation_of(other)
    return not same and _recoveries(replica) == _recoveries(other)


def _recoveries(replica: int) -> int:
    return (incarnation_of(replica) - 1) // MARKS
