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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from jepsen_like.adapters.database import Database
from jepsen_like.backends.abilities import AUTO
from jepsen_like.checks.of_workloads import BY_NAME, SAME_CONTENT
from jepsen_like.checks.online import Online
from jepsen_like.checks.values import Check, OnlineCheck, availability, recovery
from jepsen_like.faults.demands import refusal
from jepsen_like.faults.fault import Planned, draw
from jepsen_like.faults.targets import TargetError
from jepsen_like.generators import mix
from jepsen_like.load import Call, OpenLoop
from jepsen_like.workloads.workload import Workload, with_name

__all__ = ["Test", "SpecError"]


class SpecError(Exception):
    """The test cannot be run as it is written; the message is a sentence that says why."""


@dataclass(frozen=True)
class Test:
    """What to run. Raises SpecError if the parts do not fit together.

    The workloads share the load by their weights. Each is judged by those of `checks` that fit
    it, or, if none does, by its own default; without `checks` that is what is done for all of
    them, and availability and recovery are measured.
    """

    __test__: ClassVar[bool] = False  # pytest: the name begins like a test class, it is none

    name: str
    db: Database
    workloads: Sequence[Workload]
    load: OpenLoop
    faults: Sequence[Planned] = ()
    checks: Sequence[Check] | None = None
    seed: int = 1
    backend: str = AUTO

    def __post_init__(self) -> None:
        if not self.name or "/" in self.name:
            raise SpecError(f"{self.name!r} is not a name for a test; it names a directory.")
        self._refuse_others("workload", self.workloads, Workload, "register()")
        self._refuse_others("check", self.checks or (), Check, "linearizable()")
        self._refuse_others("fault", self.faults, Planned, 'kill("one")')
        if not isinstance(self.load, OpenLoop):
            raise SpecError(
                f"the test {self.name}: load={self.load!r} is no load; write "
                'load=load.open_loop(rate=300, deadline="500ms").'
            )
        if isinstance(self.db, type) or not isinstance(self.db, Database):
            shown = getattr(self.db, "__name__", repr(self.db))
            raise SpecError(
                f"the test {self.name}: {shown} is no database; write db=ShardRouter(nodes=3) or "
                "another one, with its brackets."
            )
        if not self.workloads:
            raise SpecError(f"the test {self.name} has no workloads; give at least one.")
        for what, values in (("name", self._names), ("table", [w.table for w in self.workloads])):
            twice = next((value for value in values if values.count(value) > 1), None)
            if twice is not None:
                raise SpecError(
                    f"the test {self.name} has two workloads with the {what} {twice}; give one "
                    "of them another name=."
                )
        for check in self.checks or ():
            if check.scope == "workload" and not any(
                _fits(check, workload) for workload in self.workloads
            ):
                offers = "; ".join(f"{w.name} by {', '.join(w.judged_by)}" for w in self.workloads)
                raise SpecError(
                    f"the test {self.name}: {check.name} judges none of its workloads; they are "
                    f"judged: {offers}."
                )
        for workload in self.workloads:
            unknown = [name for name in workload.default_checks if name not in BY_NAME]
            if unknown and not any(_fits(check, workload) for check in self.checks or ()):
                raise SpecError(
                    f"the test {self.name}: {workload.name} is judged by {unknown[0]}, which has "
                    f"to be told what to expect; add checks.{unknown[0]}(...) to its checks."
                )
        self.schedule(self.seed)

    def _refuse_others(self, what: str, values: object, kind: type, example: str) -> None:
        """A name, a function that was not called or a thing that is in no list."""
        if not isinstance(values, Sequence) or isinstance(values, str):
            raise SpecError(
                f"the test {self.name}: {what}s={values!r} is no list; write "
                f"{what}s=[{what}s.{example}]."
            )
        for value in values:
            if isinstance(value, type) or not isinstance(value, kind):
                shown = getattr(value, "__name__", repr(value))
                raise SpecError(
                    f"the test {self.name}: {shown} is no {what}; write {what}s.{example} or "
                    "another one, with its brackets."
                )

    @property
    def _names(self) -> list[str]:
        return [workload.name for workload in self.workloads]

    def checks_of(self, workload: Workload) -> tuple[Check, ...]:
        """What judges its operations."""
        fitting = tuple(check for check in self.checks or () if _fits(check, workload))
        return fitting or tuple(BY_NAME[name] for name in workload.default_checks)

    @property
    def compares_replicas(self) -> bool:
        checks = (check for w in self.workloads for check in self.checks_of(w))
        return any(check.name == SAME_CONTENT for check in checks)

    def checks_of_the_run(self) -> tuple[Check, ...]:
        if self.checks is None:
            return (availability(), recovery())
        return tuple(check for check in self.checks if check.scope == "run")

    def rng(self, purpose: str, seed: int) -> random.Random:
        """A generator of its own for each purpose: drawing one fault more must not change the
        load."""
        return random.Random(f"{seed}/{purpose}")

    def online(self) -> dict[str, tuple[Online, ...]]:
        """What judges the run while it runs, by workload, if checks ask for it."""
        found = {}
        for workload in self.workloads:
            model = workload.model()
            found[workload.name] = tuple(
                check.watching(model, workload.initial)
                for check in self.checks_of(workload)
                if isinstance(check, OnlineCheck) and check.online
            )
        return found

    def keys(self, calls: int) -> dict[str, Sequence[int]]:
        """The keys of each workload, for a load of about `calls` calls altogether."""
        total = sum(workload.weight for workload in self.workloads)
        return {w.name: w.keys(round(calls * w.weight / total)) for w in self.workloads}

    def calls(self, keys: Mapping[str, Sequence[int]], seed: int) -> Iterator[Call]:
        """The load. Each workload draws from a generator of its own: one workload more changes
        nothing about the calls of the others, only when they come."""
        streams = [
            (w.weight, with_name(w.name, w.calls(self.rng(f"load/{w.name}", seed), keys[w.name])))
            for w in self.workloads
        ]
        return mix(self.rng("load", seed), streams)

    def schedule(self, seed: int) -> tuple[Planned, ...]:
        """The faults with every lot drawn: data, before anything runs. Raises SpecError."""
        try:
            schedule = draw(self.faults, self.db.hosts, self.rng("faults", seed))
        except TargetError as exc:
            raise SpecError(f"the test {self.name}: {exc}") from exc
        impossible = refusal(schedule, self.db)
        if impossible:
            raise SpecError(f"the test {self.name}: {impossible}")
        return schedule


def _fits(check: Check, workload: Workload) -> bool:
    return check.scope == "workload" and check.name in workload.judged_by
