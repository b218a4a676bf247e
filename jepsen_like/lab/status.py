"""What a lab is like now: one value, for terminals and for machines."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from jepsen_like.backends.stations import Pair
from jepsen_like.lab.figures import Figure

__all__ = ["AtWork", "HostNow", "Leads", "Status", "from_data", "sides"]

FORMAT = 1


@dataclass(frozen=True)
class Leads:
    """By its own word: one that was cut off may not have noticed."""

    group: str
    term: int


@dataclass(frozen=True)
class HostNow:
    name: str
    process: str  # "running", "stopped", "dead" or "silent": it runs and does not answer
    pid: int
    leads: tuple[Leads, ...]
    unheard: tuple[str, ...]  # hosts to which nothing gets that this one sends
    slow_ms: dict[str, float]  # what is added to a round trip, by host


@dataclass(frozen=True)
class AtWork:
    """A fault."""

    number: int
    name: str
    kind: str
    seconds: float  # since it was asked for


@dataclass(frozen=True)
class Status:
    directory: str
    pid: int
    seconds: float  # since the cluster was up
    groups: tuple[str, ...]
    keys: dict[str, str]  # the group of each register that is read and written by hand
    levels: tuple[str, ...]  # the default first
    load: float  # calls per second that are asked for
    window_s: float  # of the figures
    hosts: tuple[HostNow, ...]
    faults: tuple[AtWork, ...]
    figures: tuple[Figure, ...]
    operations: int  # since the beginning
    stale: dict[str, int]  # reads since the beginning, by class
    errors: tuple[str, ...]  # the latest

    def as_data(self) -> dict[str, Any]:
        return {"format": FORMAT, **asdict(self)}


def from_data(data: dict[str, Any]) -> Status:
    """`from_data(json.loads(json.dumps(status.as_data()))) == status`"""
    fields = {name: value for name, value in data.items() if name != "format"}
    return Status(
        **fields
        | {
            "groups": tuple(data["groups"]),
            "levels": tuple(data["levels"]),
            "errors": tuple(data["errors"]),
            "hosts": tuple(
                HostNow(
                    **host
                    | {
                        "leads": tuple(Leads(**one) for one in host["leads"]),
                        "unheard": tuple(host["unheard"]),
                    }
                )
                for host in data["hosts"]
            ),
            "faults": tuple(AtWork(**fault) for fault in data["faults"]),
            "figures": tuple(Figure(**figure) for figure in data["figures"]),
        }
    )


def sides(hosts: Sequence[str], cut: Collection[Pair]) -> tuple[tuple[str, ...], ...]:
    """Hosts that reach each other, directly or over others, both ways; one side if all do."""
    left, found = list(hosts), []
    while left:
        side, edge = [left[0]], [left[0]]
        while edge:
            one = edge.pop()
            for other in hosts:
                if other not in side and not {(one, other), (other, one)} & set(cut):
                    side.append(other)
                    edge.append(other)
        found.append(tuple(name for name in hosts if name in side))
        left = [name for name in left if name not in side]
    return tuple(found)
