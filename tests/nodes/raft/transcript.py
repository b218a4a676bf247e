"""Transcripts: commands to a group of cores, `----`, and what the replicas say then.

Cases are separated by empty lines; a line that begins with # is a comment. The commands of one
file go to one group, in order:

    group COUNT | elect N | cut N ... | heal | propose N DATA ... | tick N COUNT | settle
    compact N INDEX | snapshot N FILE | transfer N TO | add N ID | promote N ID | remove N ID
    read N NAME | restart N | wake N | messages N

`messages` takes and delivers what a replica has to send and lists it. `REWRITE=1 pytest ...`
writes what the code says now into the files; read the difference before you commit it.
"""

from __future__ import annotations

from pathlib import Path

from nodes.raft.core import RaftCore
from nodes.raft.membership import ChangeRefused, with_learner, with_voter, without
from nodes.raft.messages import (
    AppendRequest,
    AppendResponse,
    InstallSnapshot,
    Membership,
    RaftMessage,
    SnapshotResponse,
)
from tests.nodes.raft.group import Disk, Group

__all__ = ["replay"]


def replay(path: Path) -> tuple[str, str]:
    """The file as it is, and as it would be if it said what the code does now."""
    expected = path.read_text(encoding="utf-8")
    player = _Player()
    blocks = []
    for block in expected.strip("\n").split("\n\n"):
        lines = block.splitlines()
        commands = lines[: lines.index("----")] if "----" in lines else lines
        said = [
            line
            for command in commands
            if not command.startswith("#")
            for line in player.do(command)
        ]
        if all(command.startswith("#") for command in commands):
            blocks.append(block)
        else:
            blocks.append("\n".join([*commands, "----", *said, *player.changes()]))
    return expected, "\n\n".join(blocks) + "\n"


class _Player:
    def __init__(self) -> None:
        self._group = Group(1)
        self._before: dict[int, str] = {}

    def do(self, command: str) -> list[str]:
        """Carry out one command; what it says itself."""
        verb, *words = command.split()
        group = self._group
        match verb, words:
            case "group", [count]:
                self._group = Group(int(count))
            case "cut", _:
                group.cut = {int(word) for word in words}
            case "heal", []:
                group.cut = set()
            case "settle", []:
                group.settle()
            case _:
                return self._to_one(verb, int(words[0]), words[1:])
        return []

    def _to_one(self, verb: str, number: int, words: list[str]) -> list[str]:
        group, core = self._group, self._group.cores[number]
        match verb, words:
            case "elect", []:
                group.elect(number)
            case "tick", [count]:
                group.tick(int(count), numbers=[number])
            case "propose", _:
                return [f"index {core.propose(word.encode())}" for word in words]
            case "compact", [index]:
                group.compact(number, int(index))
            case "snapshot", [file]:
                core.offer_snapshot(group.snapshot(number, file.encode()))
            case "transfer", [successor]:
                return ["begun" if core.transfer(int(successor)) else "refused"]
            case (("add" | "promote" | "remove"), [replica]):
                return self._change(verb, core, int(replica))
            case "read", [name]:
                return [] if core.read_index(name) else ["refused"]
            case "restart", []:
                group.start(number)
            case "wake", []:
                core.wake()
            case "messages", []:
                sent = group.take(number)
                group.deliver(sent)
                return [_message(message) for message in sent]
            case _:
                raise AssertionError(f"no command {verb} {words}")
        return []

    def _change(self, verb: str, core: RaftCore, replica: int) -> list[str]:
        group = self._group
        try:
            match verb:
                case "add":
                    core.change_membership(with_learner(core.membership, replica, f"n{replica}"))
                    if replica not in group.disks:
                        group.disks[replica] = Disk(Membership((), 0))
                        group.start(replica)
                case "promote":
                    core.change_membership(with_voter(core.membership, replica))
                case _:
                    core.change_membership(without(core.membership, replica))
        except ChangeRefused as exc:
            return [f"refused: {exc}"]
        return []

    def changes(self) -> list[str]:
        """The replicas that are not what they were, and what reads were answered."""
        group = self._group
        now = {number: _replica(core) for number, core in group.cores.items()}
        lines = [
            f"{number} {said}" for number, said in now.items() if self._before.get(number) != said
        ]
        self._before = now
        lines += [f"read {name}" for name in group.reads]
        lines += [f"read {name} failed" for name in group.reads_failed]
        lines += [f"{number} wants a snapshot" for number in sorted(group.wants_snapshot)]
        group.reads, group.reads_failed = [], []
        group.wants_snapshot = set()
        return lines


def _replica(core: RaftCore) -> str:
    log = core.log
    entries = " ".join(
        f"{entry.term}:{_data(entry.data)}" for entry in log.entries(log.first, log.last)
    )
    members = ",".join(
        f"{member.id}{'' if member.is_voter else '?'}" for member in core.membership.members
    )
    base = f"..{log.first - 1} " if log.first > 1 else ""
    return (
        f"{core.role.value} term {core.term} leader {core.leader} commit {core.commit} "
        f"of [{members}]: {base}{entries}".rstrip()
    )


def _data(data: bytes) -> str:
    if data[:1] == b"\xc1":
        return "members"
    return data.decode() or "-"


def _message(message: RaftMessage) -> str:
    ends = f"{message.sender}>{message.receiver} {type(message).__name__} term {message.term}"
    match message:
        case AppendRequest():
            entries = " ".join(f"{entry.term}:{_data(entry.data)}" for entry in message.entries)
            after = f"{message.previous_index}/{message.previous_term}"
            return f"{ends} after {after} commit {message.commit} {entries}".rstrip()
        case AppendResponse():
            if message.success:
                return f"{ends} match {message.match_index}"
            hint = f"{message.hint_index}/{message.hint_term}"
            return f"{ends} rejects {message.rejected_index} hint {hint}"
        case InstallSnapshot():
            piece = f"{message.offset}+{len(message.data)} of {message.snapshot.size}"
            return f"{ends} index {message.snapshot.index} bytes {piece}"
        case SnapshotResponse():
            return f"{ends} index {message.index} has {message.received}"
    return ends
