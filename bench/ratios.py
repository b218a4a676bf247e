"""How each line of an answer compares with the others of its case, in the figure that is drawn.

Where a peer takes part, each line of ours is compared with each peer's that had the same client; a
peer with a client of its own, in Python, is compared with our run of the one that is in Python.
Where none does, each line is compared with the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bench.contestants import PEERS
from bench.question import CLIENT_BOUND, Line

__all__ = ["ratios"]

_COMPILED: Final = "pgbench"
_CLIENTS: Final = ("asyncpg", _COMPILED)


def ratios(lines: Sequence[Line], figure: str) -> list[str]:
    """For each line of one case: `0.61 of etcd, ...`; empty for a peer, and for who has nobody to
    be compared with."""
    drawn = [line for line in lines if figure in line.figures]
    theirs = [line for line in drawn if line.contestant.startswith(PEERS)]
    said = []
    for line in lines:
        if line not in drawn or line in theirs:
            others: list[Line] = []
        elif theirs:
            others = [peer for peer in theirs if _had_same_client(line, peer)]
        else:
            others = drawn[:1] if line is not drawn[0] else []
        said.append(", ".join(_ratio(line, other, figure) for other in others))
    return said


def _split(name: str) -> tuple[str, str]:
    """(who, client) of a contestant's name; a client of its own is not named."""
    who, _, client = name.rpartition(", ")
    return (who, client) if client in _CLIENTS else (name, "")


def _had_same_client(ours: Line, peer: Line) -> bool:
    mine, other = _split(ours.contestant)[1], _split(peer.contestant)[1]
    return mine == other or (not other and mine != _COMPILED)


def _ratio(ours: Line, other: Line, figure: str) -> str:
    ratio = ours.figures[figure].median / max(other.figures[figure].median, 1e-9)
    shares = [line.figures.get("client_share") for line in (ours, other)]
    is_bound = any(share is not None and share.median > CLIENT_BOUND for share in shares)
    note = " (client-bound)" if is_bound else ""
    return f"{ratio:.3g} of {_split(other.contestant)[0]}{note}"
