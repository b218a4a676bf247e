"""An outage of a member that runs elsewhere: ended by a step of the test's author, started again.

Verified by asking the member: it answered before, does not while it lasts, and does afterwards.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from jepsen_like.adapters.database import DatabaseError, EndableDatabase
from jepsen_like.faults.fault import Site, find
from jepsen_like.faults.targets import Target, TargetError, as_target, draw_target, role
from jepsen_like.load import seconds
from jepsen_like.result import FaultRecord

__all__ = ["Outage", "outage"]


@dataclass(frozen=True)
class Outage:
    target: Target
    hold_s: float
    rest_s: float
    kind: ClassVar[str] = "outage"

    @property
    def name(self) -> str:
        return f"outage of {self.target}"

    def drawn(self, hosts: Sequence[str], rng: random.Random) -> Outage:
        return replace(self, target=draw_target(self.target, hosts, rng))

    async def run(self, site: Site) -> FaultRecord:
        db = site.db
        if not isinstance(db, EndableDatabase):
            raise TargetError("the database has processes here; write faults.kill().")
        host, leaders = await find(site, self.target)
        answered = await db.answers(host)
        start_ns = site.clock.now_ns()
        why = ""
        silent = still = back = False
        site.say(f"outage of {host}, {role(host, leaders)}")
        try:
            await db.kill(host)
            start_ns = site.clock.now_ns()
            silent = not await db.answers(host)
            await site.clock.sleep_until(start_ns + round(self.hold_s * 1e9))
            still = not await db.answers(host)
        except DatabaseError as exc:  # the step failed: a finding of the ledger
            why = f" ({exc})"
        finally:
            try:
                await db.restart(host)
                back = await db.answers(host)
            except DatabaseError as exc:
                why += f" ({exc})"
        end_ns = site.clock.now_ns()
        site.say(f"{host} is {'back' if back else 'not back'}")
        looks = (
            (answered, f"before: {host} answered"),
            (silent, f"after the step kill: {host} did not answer{why}"),
            (still, f"before the step start: {host} did not answer"),
            (back, f"after the step start: {host} answered{why}"),
        )
        return FaultRecord(
            name=self.name,
            kind=self.kind,
            target=host,
            role_before=role(host, leaders),
            role_after=role(host, await db.leaders()),
            start_ns=start_ns,
            end_ns=end_ns,
            verified_start=answered and silent,
            verified_end=still and back,
            evidence=tuple(text if good else f"NOT VERIFIED: {text}" for good, text in looks),
        )


def outage(target: Target | str, hold: str | float = "3s", rest: str | float = "3s") -> Outage:
    """For databases whose processes are elsewhere (`adapters.external`)."""
    return Outage(as_target(target), seconds(hold), seconds(rest))
