"""A test: one declarative value that says everything about a run but its time.

    from jepsen_like import Test, checks, faults, leader_of, load, workloads
    from jepsen_like.adapters.shardrouter import ShardRouter

    test = Test(
        name="isolate-a-leader",
        db=ShardRouter(nodes=3, shards=3, replicas=3),
        workloads=[workloads.register(keys=20)],
        load=load.open_loop(rate=120, deadline="500ms"),
        faults=[
            faults.healthy("4s"),
            faults.partition(faults.isolate(leader_of("shard-1")), hold="10s", rest="5s"),
        ],
        checks=[checks.linearizable(), checks.availability(), checks.recovery()],
        seed=42,
    )

The same value and seed plan the same load and the same faults; what the database does with them
is measured.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from jepsen_like.adapters.database import Database
from jepsen_like.backends import AUTO, BACKENDS
from jepsen_like.checks.incremental import OnlineChecker
from jepsen_like.checks.values import Check, Linearizable, availability, linearizable, recovery
from jepsen_like.faults.fault import Fault, draw
from jepsen_like.faults.targets import TargetError
from jepsen_like.load import OpenLoop
from jepsen_like.workloads.workload import Workload

__all__ = ["Test", "SpecError"]


class SpecError(Exception):
    """The test cannot be run as it is written; the message is a sentence that says why."""


@dataclass(frozen=True)
class Test:
    """What to run. Raises SpecError if the parts do not fit together."""

    __test__: ClassVar[bool] = False  # pytest: the name begins like a test class, it is none

    name: str
    db: Database
    workloads: Sequence[Workload]
    load: OpenLoop
    faults: Sequence[Fault] = ()
    checks: Sequence[Check] = (linearizable(), availability(), recovery())
    seed: int = 1
    backend: str = AUTO

    def __post_init__(self) -> None:
        if not self.name or "/" in self.name:
            raise SpecError(f"{self.name!r} is not a name for a test; it names a directory.")
        if len(self.workloads) != 1:
            raise SpecError(
                f"the test {self.name} has {len(self.workloads)} workloads; give exactly one."
            )
        if self.backend not in BACKENDS:
            raise SpecError(
                f"the test {self.name} has the backend {self.backend!r}; "
                f"there are {', '.join(BACKENDS)}."
            )
        self.schedule(self.seed)

    @property
    def workload(self) -> Workload:
        return self.workloads[0]

    def rng(self, purpose: str, seed: int) -> random.Random:
        """A generator of its own for each purpose: drawing one fault more must not change the
        load."""
        return random.Random(f"{seed}/{purpose}")

    def online(self) -> OnlineChecker | None:
        """What judges the run while it runs, if a check asks for it."""
        wanted = any(isinstance(check, Linearizable) and check.online for check in self.checks)
        return OnlineChecker(self.workload.model()) if wanted else None

    def schedule(self, seed: int) -> tuple[Fault, ...]:
        """The faults with every lot drawn: data, before anything runs."""
        try:
            return draw(self.faults, self.db.hosts, self.rng("faults", seed))
        except TargetError as exc:
            raise SpecError(f"the test {self.name}: {exc}") from exc
