"""A group of replicas as a tool that moves them meets it: a dumb twin of nodes and Raft.

It knows who belongs, who is up, who leads and how much of the log each replica has. Steps take
effect when they are told to, so a test can lose them, delay them and carry one out twice. What
must never happen is asserted where it would happen.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from nodes.protocol import ChangeReplicas, MoveLeadership
from shardrouter.moves import CATCH_UP_ENTRIES, GroupView, Seat

GROUP = "shard-1"


@dataclass
class Replica:
    node: str
    is_voter: bool
    last: int


@dataclass
class GroupModel:
    nodes: tuple[str, ...]
    replicas: dict[int, Replica]
    up: set[str]
    leader: int | None = None
    kept: int | None = None
    """The leader that was asked to stay; an election forgets it."""
    last: int = 0
    last_id: int = 0
    given: set[int] = field(default_factory=set)
    """Every id that was ever given."""
    history: list[str] = field(default_factory=list)
    """What took effect, for a failure's message."""

    @staticmethod
    def of(nodes: tuple[str, ...], members: tuple[str, ...], last: int) -> GroupModel:
        replicas = {i: Replica(node, True, last) for i, node in enumerate(members, 1)}
        return GroupModel(nodes, replicas, set(nodes), 1, None, last, len(members), set(replicas))

    # ------------------------------------------------------------------ what it is

    @property
    def voters(self) -> dict[int, Replica]:
        return {id: r for id, r in self.replicas.items() if r.is_voter}

    def has_majority(self, without: int | None = None) -> bool:
        voters = [r for id, r in self.voters.items() if id != without]
        return sum(r.node in self.up for r in voters) > len(voters) // 2

    def view(self) -> GroupView:
        leading = self.replicas.get(self.leader or 0)
        return GroupView(
            GROUP,
            tuple(
                Seat(id, r.node, r.is_voter, r.node in self.up, r.last)
                for id, r in self.replicas.items()
            ),
            leading.node if leading is not None else None,
            self.last,
            self.last_id,
            frozenset(self.up),
            {leading.node: 1} if leading is not None else {},
            leading is not None and self.leader == self.kept,
        )

    # ------------------------------------------------------------------ what happens to it

    def kill(self, node: str) -> None:
        self.up.discard(node)
        leading = self.replicas.get(self.leader or 0)
        if leading is not None and (leading.node == node or not self.has_majority()):
            self.leader = None

    def start(self, node: str) -> None:
        self.up.add(node)

    def elect(self, choice: int) -> None:
        """Some up voter with the whole log leads, if a majority is up."""
        able = [id for id, r in self.voters.items() if r.node in self.up and self._may_lead(r.last)]
        if self.has_majority() and able:
            self.leader, self.kept = able[choice % len(able)], None
            self.replicas[self.leader].last = self.last

    def _may_lead(self, last: int) -> bool:
        """Votes come from whoever has no longer log; with a majority up somebody has it all."""
        return last == max(r.last for r in self.voters.values() if r.node in self.up)

    def write(self, entries: int) -> None:
        if self.leader is not None and self.has_majority():
            self.last += entries
            for replica in self.voters.values():
                if replica.node in self.up:
                    replica.last = self.last

    def catch_up(self, entries: int) -> None:
        for replica in self.replicas.values():
            if replica.node in self.up and self.leader is not None:
                replica.last = min(self.last, replica.last + entries)

    # ------------------------------------------------------------------ steps

    def carry_out(self, body: ChangeReplicas | MoveLeadership) -> None:
        """As the leader does, which refuses what its own knowledge forbids; nothing happens
        without one that can commit."""
        if self.leader is None or not self.has_majority():
            return
        if isinstance(body, MoveLeadership):
            heir = self.replicas.get(body.replica)
            if body.replica == self.leader:
                self.kept = body.replica
            elif heir is not None and heir.is_voter and heir.node in self.up:
                heir.last = self.last
                self.leader, self.kept = body.replica, None
        elif body.step == "learner":
            self._add(body.replica, body.node)
        elif body.step == "voter":
            replica = self.replicas.get(body.replica)
            if replica is not None and self.last - replica.last <= CATCH_UP_ENTRIES:
                if replica.node not in self.up:
                    return
                replica.is_voter = True
                self._note(f"voter {body.replica} on {body.node}")
        else:
            self._remove(body.replica)

    def _add(self, id: int, node: str) -> None:
        if id <= self.last_id or any(r.node == node for r in self.replicas.values()):
            return
        assert id not in self.given, f"id {id} is given again"
        self.given.add(id)
        self.last_id = id
        self.replicas[id] = Replica(node, False, 0)
        self._note(f"learner {id} on {node}")

    def _remove(self, id: int) -> None:
        replica = self.replicas.get(id)
        if replica is None or (replica.is_voter and not self.has_majority(without=id)):
            return
        if list(self.voters) == [id]:
            return
        del self.replicas[id]
        if self.leader == id:
            self.leader = None
        self._note(f"removed {id} on {replica.node}")

    def _note(self, what: str) -> None:
        assert self.has_majority(), f"{what}: no majority of voters is up; {self.history}"
        self.history.append(what)
