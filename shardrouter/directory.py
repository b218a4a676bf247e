"""Which nodes there are, who replicates each group, and who leads it: what a router believes.

`cluster.toml` says who founded a group. Replicas come and go (docs/membership.md); who belongs to
a group now a leader's status says, a hint that names another node, or, when a node answers that
it has no replica of the group or none of them can be reached, the status of every node. A node
whose status has a newer revision of `cluster.toml` is asked for the text, and connections are
made and given up accordingly.

What it believes may be wrong at any time: whoever is asked answers for itself. What is sent to
whom is decided by `shardrouter.delivery`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, Generic, TypeVar

from nodes.client import NodeClient, Outcome
from nodes.config import ClusterConfig, GroupConfig, parse_cluster
from nodes.protocol import Avoided, ClusterText, GetCluster, GetStatus, Status
from shardrouter.contacts import Contact

__all__ = ["Directory", "Group"]

MEMBERS_EVERY_S: Final = 1.0
"""How often the replicas of a group that serves reads of consistency `any` are asked who belongs
to it, and thereby how far each is: a replica that has come, or is nearer than it was, is no cause
for an error that would tell."""

DESCRIPTION_TIMEOUT_S: Final = 2.0
"""How long a node may take to tell its cluster.toml, which is newer than this router's."""


class Group:
    """Who is believed to replicate a group and to lead it."""

    __slots__ = ("contacts", "leader", "looked_at", "name", "term", "trouble")

    def __init__(self, name: str) -> None:
        self.name = name
        self.contacts: list[Contact] = []  # never empty once it is listed; changed in place
        self.leader: Contact | None = None
        self.looked_at = float("-inf")  # when its nodes were last asked who belongs to it
        self.term = 0  # the newest in which some node said that it leads
        self.trouble = ""

    def gains(self, contact: Contact) -> None:
        if contact not in self.contacts:
            self.contacts.append(contact)

    def loses(self, contact: Contact) -> None:
        if contact in self.contacts and len(self.contacts) > 1:
            self.contacts.remove(contact)


G = TypeVar("G", bound=Group)


class Directory(Generic[G]):
    """Contacts to all nodes of a cluster, and what they said of `groups`.

    `found(group, contact)` is told that a contact leads a group in a newer term, `avoided` says
    what nodes are told that this router avoids. Used from one
    event loop, which must be running when it is made.
    """

    def __init__(
        self,
        config: ClusterConfig,
        groups: Mapping[str, G],
        *,
        name: str,
        found: Callable[[G, Contact], None],
        avoided: Callable[[], tuple[Avoided, ...]] = tuple,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._config, self._name = config, name
        self._found = found
        self._avoided = avoided
        self._is_closed = False
        self._hanging_up: set[asyncio.Task[None]] = set()
        self.groups = groups
        self.contacts = {node: self._contact(node) for node in config.nodes}
        for group in config.groups.values():
            listed = groups[group.name]
            listed.contacts[:] = self._founders(group)
            listed.leader = listed.contacts[0]

    def _founders(self, group: GroupConfig) -> list[Contact]:
        """Where a group began; anybody, if no such node is left."""
        founders = [self.contacts[r.node] for r in group.replicas if r.node in self.contacts]
        return founders or list(self.contacts.values())

    def _contact(self, node: str) -> Contact:
        described = self._config.nodes[node]
        client = NodeClient.to(node, self._config, name=self._name)
        return Contact(node, client, described.capacity, described.zone)

    async def statuses(self, timeout_s: float) -> dict[str, Status | None]:
        """What each node says of itself; None if it does not answer in time."""

        async def ask(contact: Contact) -> Status | None:
            try:
                answer = await contact.client.call("", GetStatus(), timeout_s)
            except ConnectionError:
                return None
            return answer if isinstance(answer, Status) else None

        contacts = dict(self.contacts)  # an answer may bring others
        answers = await asyncio.gather(*map(ask, contacts.values()))
        return dict(zip(contacts, answers, strict=True))

    def stop(self) -> None:
        """Believe nothing more."""
        self._is_closed = True

    async def close(self) -> None:
        """Close the connections."""
        self.stop()
        await asyncio.gather(
            *self._hanging_up, *(contact.client.close() for contact in self.contacts.values())
        )

    # ------------------------------------------------------------------ asking

    def knock(self, contact: Contact) -> None:
        """Ask a node for its status, in the background."""
        contact.knock(self._told, GetStatus(self._name, self._avoided()))

    def look_for_members(self, group: G) -> None:
        """Ask the replicas of a group for their status, if that was long ago; the leader's says
        who belongs to it."""
        now = self._loop.time()
        if now - group.looked_at >= MEMBERS_EVERY_S and not self._is_closed:
            group.looked_at = now
            for contact in group.contacts:
                contact.knock_again(now, self.knock)

    def lost(self, name: str, gone: Contact | None = None) -> None:
        """A node has no replica of the group (any more), or no replica of it can be reached: ask
        all nodes; whoever has one says so."""
        if gone is not None:
            self.groups[name].loses(gone)
        now = self._loop.time()
        for contact in self.contacts.values():
            contact.knock_again(now, self.knock)

    # ------------------------------------------------------------------ what they say

    def _told(self, contact: Contact, status: Status) -> None:
        """What a node says that it hosts and leads."""
        if self._is_closed:
            return
        if status.revision > self._config.revision:
            deadline = self._loop.time() + DESCRIPTION_TIMEOUT_S
            contact.client.request("", GetCluster(), deadline=deadline, done=self._described)
        for replica in status.replicas:
            group = self.groups.get(replica.group)
            if group is None:
                continue
            group.gains(contact)
            if replica.role != "leader" or replica.term < group.term:
                continue
            members = [self.contacts[m.node] for m in replica.members if m.node in self.contacts]
            if members:
                group.contacts[:] = members
            if replica.term > group.term:
                # A leader that was cut off says so too, but in an older term.
                group.term = replica.term
                if group.leader is not contact:
                    self._found(group, contact)

    def _described(self, outcome: Outcome) -> None:
        """Nodes have come, moved or gone since this router read cluster.toml."""
        if self._is_closed or not isinstance(outcome, ClusterText):
            return
        new = parse_cluster(outcome.text, "the cluster's cluster.toml")
        if new.cluster_id != self._config.cluster_id or new.revision <= self._config.revision:
            return
        old, self._config = self._config, replace(new, secret=self._config.secret)
        for name in old.nodes.keys() | new.nodes.keys():
            had, has = old.nodes.get(name), new.nodes.get(name)
            if had is not None and (has is None or had.address != has.address):
                self._hang_up(self.contacts.pop(name))
            if has is not None and name not in self.contacts:
                self.contacts[name] = self._contact(name)
            elif has is not None:
                contact = self.contacts[name]
                contact.weight, contact.zone = has.capacity, has.zone
        for group in self.groups.values():
            staying = [c.name for c in group.contacts if c.name in new.nodes]
            group.contacts[:] = [self.contacts[name] for name in staying]
            if not group.contacts:
                group.contacts[:] = self.contacts.values()
            if group.leader is not None and group.leader not in group.contacts:
                group.leader = None

    def _hang_up(self, contact: Contact) -> None:
        contact.suspect = True
        task = self._loop.create_task(contact.client.close())
        self._hanging_up.add(task)
        task.add_done_callback(self._hanging_up.discard)
