"""What an operator does, as faults: a leadership handed over, a replica moved to another host.

Nothing is broken by them, so whatever clients notice is the database's own doing. Verified from
what its processes say before and after; a database that cannot do it leaves an unverified record.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from jepsen_like.adapters.database import DatabaseError, Offer, OperableDatabase
from jepsen_like.faults.fault import Site, find
from jepsen_like.faults.targets import LeaderOf, Target, TargetError, as_target, draw_target, role
from jepsen_like.load import seconds
from jepsen_like.result import FaultRecord

__all__ = ["MoveReplica", "Transfer", "move_replica", "transfer"]


@dataclass(frozen=True)
class Transfer:
    """The leader of `group` hands over to `to`; None: the first other host with a replica."""

    group: str
    to: Target | None
    rest_s: float
    hold_s: float = 0.0
    kind: ClassVar[str] = "transfer"
    demands: ClassVar[frozenset[Offer]] = frozenset([Offer.MOVES])

    @property
    def name(self) -> str:
        return f"transfer {self.group} to {self.to or 'another host'}"

    def drawn(self, hosts: Sequence[str], rng: random.Random) -> Transfer:
        return replace(self, to=draw_target(self.to, hosts, rng) if self.to else None)

    async def run(self, site: Site) -> FaultRecord:
        db = _operable(site)
        leader, leaders = await find(site, LeaderOf(self.group))
        members = await db.voters(self.group)
        to = (
            (await find(site, self.to))[0]
            if self.to is not None
            else _first(members, but=[leader], what=f"other host has a replica of {self.group}")
        )
        start_ns = site.clock.now_ns()
        site.say(f"transfer {self.group}: {leader} to {to}")
        trouble = await _operate(db.transfer(self.group, to))
        end_ns = site.clock.now_ns()
        after = await site.db.leaders()
        return _record(
            self,
            target=leader,
            leaders=(leaders, after),
            window_ns=(start_ns, end_ns),
            before=(leader != to, f"before: {leader} led {self.group}"),
            after=(
                not trouble and after.get(self.group) == to,
                f"after: {after.get(self.group, 'nobody')} led {self.group}{trouble}",
            ),
        )


@dataclass(frozen=True)
class MoveReplica:
    """The replica of `group` on `source` moves to `to`.

    None: from the leader's host, and to the first host without a replica of it.
    """

    group: str
    source: Target | None
    to: Target | None
    rest_s: float
    hold_s: float = 0.0
    kind: ClassVar[str] = "move"
    demands: ClassVar[frozenset[Offer]] = frozenset([Offer.MOVES, Offer.ROOM])

    @property
    def name(self) -> str:
        source = self.source or LeaderOf(self.group)
        return f"move replica of {self.group} from {source} to {self.to or 'a host without one'}"

    def drawn(self, hosts: Sequence[str], rng: random.Random) -> MoveReplica:
        return replace(
            self,
            source=draw_target(self.source, hosts, rng) if self.source else None,
            to=draw_target(self.to, hosts, rng) if self.to else None,
        )

    async def run(self, site: Site) -> FaultRecord:
        db = _operable(site)
        source, leaders = await find(site, self.source or LeaderOf(self.group))
        before = await db.voters(self.group)
        to = (
            (await find(site, self.to))[0]
            if self.to is not None
            else _first(
                site.backend.hosts, but=before, what=f"host is without a replica of {self.group}"
            )
        )
        start_ns = site.clock.now_ns()
        site.say(f"move {self.group}: {source} to {to}")
        trouble = await _operate(db.move_replica(self.group, source, to))
        end_ns = site.clock.now_ns()
        after = await db.voters(self.group)
        expected = {*before, to} - {source}
        return _record(
            self,
            target=source,
            leaders=(leaders, await site.db.leaders()),
            window_ns=(start_ns, end_ns),
            before=(
                source in before and to not in before,
                f"before: {self.group} had its voters on {', '.join(before)}",
            ),
            after=(
                not trouble and set(after) == expected,
                f"after: {self.group} had its voters on {', '.join(after)}{trouble}",
            ),
        )


def transfer(group: str, to: Target | str | None = None, rest: str | float = "3s") -> Transfer:
    """Hand the leadership of `group` over."""
    return Transfer(group, None if to is None else as_target(to), seconds(rest))


def move_replica(
    group: str,
    source: Target | str | None = None,
    to: Target | str | None = None,
    rest: str | float = "3s",
) -> MoveReplica:
    """Move a replica of `group` while it serves."""
    leaving = None if source is None else as_target(source)
    return MoveReplica(group, leaving, None if to is None else as_target(to), seconds(rest))


def _operable(site: Site) -> OperableDatabase:
    if not isinstance(site.db, OperableDatabase):
        raise TargetError("this database has no replicas or leaders that can be told to move.")
    return site.db


def _first(hosts: Sequence[str], *, but: Sequence[str], what: str) -> str:
    found = next((host for host in hosts if host not in but), None)
    if found is None:
        raise TargetError(f"no {what}.")
    return found


async def _operate(work: Awaitable[None]) -> str:
    """Empty, or what kept the database from it, to be put behind a sentence."""
    try:
        await work
    except DatabaseError as exc:
        return f"; {exc}"
    return ""


def _record(
    fault: Transfer | MoveReplica,
    *,
    target: str,
    leaders: tuple[Mapping[str, str], Mapping[str, str]],
    window_ns: tuple[int, int],
    before: tuple[bool, str],
    after: tuple[bool, str],
) -> FaultRecord:
    return FaultRecord(
        name=fault.name,
        kind=fault.kind,
        target=target,
        role_before=role(target, leaders[0]),
        role_after=role(target, leaders[1]),
        start_ns=window_ns[0],
        end_ns=window_ns[1],
        verified_start=before[0],
        verified_end=after[0],
        evidence=tuple(text if good else f"NOT VERIFIED: {text}" for good, text in (before, after)),
    )
