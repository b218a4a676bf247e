"""Sets whose replicas are compared when all is over: finds replicas that crashes, replay of logs
or snapshots have made different, which no client may ever notice.

Judged by `checks.same_content`: after the final reads the database compares its replicas row by
row at one point of their logs. Also by `checks.nothing_lost`. To be run with kills.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jepsen_like.models.model import Model
from jepsen_like.workloads.sets import Sets

__all__ = ["CrashReplay", "crash_replay"]


@dataclass(frozen=True)
class CrashReplay(Sets):
    judged_by: ClassVar[tuple[str, ...]] = ("same content", "nothing lost")
    unsure_max: ClassVar[int | None] = None

    @property
    def default_checks(self) -> tuple[str, ...]:
        return self.judged_by

    def model(self) -> Model | None:
        return None


def crash_replay(
    keys: int = 8, calls_per_key: int = 200, *, weight: float = 1.0, name: str = "crash-replay"
) -> CrashReplay:
    """`keys` sets in use at a time; nothing is exponential here, so each lives for long."""
    return CrashReplay(keys, calls_per_key, weight=weight, name=name)
