"""What a client, or a leader of itself, asks of a node."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from nodes.protocol.base import Message
from nodes.protocol.statements import (
    Guard,
    Participant,
    SessionId,
    SetVersion,
    Staged,
    Statement,
    Transaction,
    TransactionId,
)

__all__ = [
    "OpenSession",
    "Write",
    "Prepare",
    "Commit",
    "Abort",
    "TransactionOutcome",
    "End",
    "Lock",
    "Speculate",
    "Forget",
    "Fence",
    "Stage",
    "Unstage",
    "ExpireSessions",
    "SwitchFingerprint",
    "NewIncarnation",
    "RecoverGroup",
    "AtLeast",
    "Bounded",
    "Consistency",
    "needs_leader",
    "Read",
    "Fetch",
    "CloseCursor",
    "CloseGate",
    "ConfirmGate",
    "OpenGate",
    "Checksum",
    "GetChecksum",
    "Avoided",
    "GetStatus",
    "GetCluster",
    "SetCluster",
    "ChangeReplicas",
    "MoveLeadership",
    "RequestBody",
    "Request",
]


class OpenSession(Message, frozen=True, tag="open"):
    """Open a session; answered by `Opened`."""

    router: str


class Write(Message, frozen=True, tag="write"):
    """A unit of commit: all statements or none.

    Applied at most once per (session, seq). `watermark` promises that the router has the
    answers of all seqs <= watermark and will never repeat them.
    """

    session: SessionId
    seq: int
    watermark: int
    statements: tuple[Statement, ...]
    guards: tuple[Guard, ...] = ()
    sets: tuple[SetVersion, ...] = ()
    quick: bool = False
    """All statements are keyed point writes or VALUES: bounded work, applied inline."""
    transaction: Transaction | None = None
    """In place of statements: all of its steps, if each answers what its digest says; else none,
    and SqlFailure 40001. It is answered without results."""
    staged: Staged | None = None
    """In place of statements: those that were sent ahead, because an entry does not hold them."""
    bounded: bool = False
    """All statements are keyed point writes or VALUES, however many: what applying them costs is
    told by their size, and nobody need try them first."""


class Prepare(Message, frozen=True, tag="prepare"):
    """Promise to commit: run the write, keep nothing of it but the promise, and let nobody touch
    what it touched until the outcome is applied. Applied at most once per (session, seq) of the
    write, whose watermark stays below it until the outcome is known. The anchor does not promise:
    it is asked last, to `Commit`. Answered by `Prepared`; `Locked`, `Stale`: not now; `SqlFailure`:
    never."""

    id: TransactionId
    write: Write
    tied: tuple[str, ...]
    """Objects, as in guards, that foreign keys tie to those of the write's guards."""
    anchor: str  # group whose log decides; another one of the participants
    participants: tuple[Participant, ...]  # all of them, this group too
    patience_ms: int = 0
    """How long the others of them may take, beyond what is usual: whoever has prepared waits so
    much longer before it takes the transaction for abandoned."""


class Commit(Message, frozen=True, tag="commit"):
    """In the log of the anchor, when all other participants have promised: run the write for good,
    and be the outcome of the transaction. Comes from its router alone. Applied at most once per
    (session, seq) of the write, by which a lost answer can be fenced. Answered by `Done`: it is
    committed; `Locked`, `Stale`: not now; `SqlFailure`: never; `Decided`: the outcome is known
    already, and the answer is not."""

    id: TransactionId
    write: Write
    tied: tuple[str, ...]  # see `Prepare`
    participants: tuple[Participant, ...]  # all of them, this group too


class Abort(Message, frozen=True, tag="abort"):
    """In the log of the anchor: end a transaction, unless it has ended. The first of this and
    `Commit` that takes effect is the outcome. Answered by `Decided`. Comes from anybody in doubt,
    and works where the transaction was never seen: a `Commit` that arrives later is refused."""

    id: TransactionId
    participants: tuple[Participant, ...]


class TransactionOutcome(Message, frozen=True, tag="outcome"):
    """In the log of a participant: what the anchor's log has decided. Answered by `Done`; may be
    repeated."""

    id: TransactionId
    commit: bool
    own: Participant  # of this group


class End(Message, frozen=True, tag="end"):
    """In the log of the anchor: all participants have applied the outcome. Answered by `Done`; may
    be repeated."""

    id: TransactionId


class Lock(Message, frozen=True):
    """Before a statement runs, wait until no other transaction has asked for the same, or for
    `timeout_ms` (0: as long as the statement may take). See `nodes.row_locks`."""

    object: bytes
    exclusive: bool
    timeout_ms: int = 0


class Speculate(Message, frozen=True, tag="speculate"):
    """Run the last of the steps of a transaction that is not committed yet, after the others, and
    keep nothing but a cache. Asked of the leader; answered by `Speculated`, `NotOpen`, `Stale`,
    or `SqlFailure` if the transaction cannot go on like this: 40001 if an earlier step would be
    answered otherwise by now."""

    id: bytes  # random, from the router
    transaction: Transaction  # its last step has no digest yet
    guards: tuple[Guard, ...] = ()  # of these steps
    base: bytes = b""
    """Stands for earlier steps that are left out (`nodes.outcome_digest.chain`); empty: none."""
    quick: bool = False
    """All its statements are bounded work."""
    lock: Lock | None = None
    reads: bool = False
    """None of them writes."""
    lock_ms: int = 0
    """How long it may wait for the outcome of what is prepared; 0: as long as it has time."""


class Forget(Message, frozen=True, tag="forget"):
    """The transaction has ended: others need not wait for it. Answered by `Done`."""

    id: bytes


class Fence(Message, frozen=True, tag="fence"):
    """Make the outcome of (session, seq) definite: its stored answer if it was applied, else
    `Aborted` is recorded and a copy that arrives later is refused with it."""

    session: SessionId
    seq: int
    watermark: int


class Stage(Message, frozen=True, tag="stage"):
    """A piece of what a later write will name (`Staged`): kept, and visible to nobody. Applied at
    most once per (session, seq), as a `Write` is. `chunk` counts from 0; they may come in any
    order. Answered by `Done`."""

    session: SessionId
    seq: int
    watermark: int
    stage: int
    chunk: int
    data: bytes


class Unstage(Message, frozen=True, tag="unstage"):
    """Forget a stage, if there is one: nobody will name it. May be repeated. Answered by `Done`."""

    session: SessionId
    stage: int


class ExpireSessions(Message, frozen=True, tag="expire"):
    """Proposed by a leader only: forget sessions, with their stages, and stages of others, that
    were idle for too long."""

    sessions: tuple[SessionId, ...]
    stages: tuple[tuple[SessionId, int], ...] = ()


class SwitchFingerprint(Message, frozen=True, tag="fingerprint"):
    """From this entry on the group's writes are executed by processes of this execution
    fingerprint (`nodes.fingerprint`), if its present one is `instead_of`; empty: it has none yet.
    Answered by `Done`, also if it is so already, or `SqlFailure`."""

    fingerprint: str
    instead_of: str


class NewIncarnation(Message, frozen=True, tag="incarnation"):
    """Written by an unsafe recovery only (`nodes.recovery`): sessions of before are unknown."""

    incarnation: int  # `nodes.incarnations` has how it is made


class RecoverGroup(Message, frozen=True, tag="recover"):
    """Go on with this replica alone, as a new incarnation of its group; what only others have is
    lost. Asked of the replica's node, not of a leader. Answered by `Changed` with the index at
    which that stands in its log, also if it was done before, or `Denied`."""

    replica: int
    mark: int  # random, below `nodes.incarnations.MARKS`


class AtLeast(Message, frozen=True, tag="atleast"):
    """A state no older than one that has been seen: at least this applied index, of this very
    incarnation of the group. What has never been seen is (0, 0), and any state will do."""

    incarnation: int
    index: int


class Bounded(Message, frozen=True, tag="bounded"):
    """A state that has every write acknowledged more than so long before the read came."""

    max_staleness_ms: int


Consistency: TypeAlias = Literal["linearizable", "lease", "any"] | AtLeast | Bounded
"""What a read is promised (DESIGN section 9). linearizable: it sees every write acknowledged
before it was sent, as a majority confirms. lease: the same, on the strength of clocks where the
leader holds a lease. any: it sees some state that the group has been in, as the replica that is
asked has it. The other two as their classes say."""


def needs_leader(consistency: object) -> bool:
    """Whether at this level the leader answers, or a follower that asks it; else any replica."""
    return consistency == "linearizable" or consistency == "lease"


class Read(Message, frozen=True, tag="read"):
    """Read-only statements in one read transaction."""

    statements: tuple[Statement, ...]
    guards: tuple[Guard, ...] = ()
    quick: bool = False
    """Point reads: bounded work, run inline."""
    consistency: Consistency = "linearizable"
    at_follower: bool = False
    """A read that needs the leader may be answered by a follower that asks it: for a router that
    cannot reach the leader. Else a follower names the leader."""
    stream: bool = False
    """Of one statement: if its rows are more than one answer should hold, they come in pieces
    (`Piece`)."""
    pin: int = 0
    """Of one statement, streamed: in the state that was pinned under this number, at this node, and
    at no level of its own."""
    keeps_pin: bool = False
    """Another one will be read there: else its end is that of the pin."""
    lock_ms: int = 0
    """As in `Speculate`."""


class Fetch(Message, frozen=True, tag="fetch"):
    """The next piece of a streamed read, asked of the node that began it; answered by `Piece`,
    or `Done` with the last. Once: nobody repeats it. To `keep` it: only that its router is there,
    answered by `Done` without rows."""

    cursor: int
    keep: bool = False


class CloseCursor(Message, frozen=True, tag="closecursor"):
    """Nobody wants more of a streamed read; answered by `Done`."""

    cursor: int


class CloseGate(Message, frozen=True, tag="closegate"):
    """For a read of several groups at one instant: keep out what writes, and pin a state of what
    these guards touch (`nodes.gates`). Asked of the leader; answered by `Pinned` or `NotPinned`.
    The gate opens by itself."""

    id: bytes  # random, from the router
    guards: tuple[Guard, ...]


class ConfirmGate(Message, frozen=True, tag="confirmgate"):
    """When all groups have pinned, asked of the node that has: answered by `Done` if its gate was
    never open before this came, as a leader that a majority confirms after it, else by `NotPinned`;
    either way it is open then."""

    id: bytes


class OpenGate(Message, frozen=True, tag="opengate"):
    """The snapshot is given up, and what it pinned; answered by `Done`."""

    id: bytes


class Checksum(Message, frozen=True, tag="checksum"):
    """Compute a checksum of every replica, of the state at this entry; answered by `Done`, whose
    index names it, before it is computed. It changes nothing and may be repeated."""


class GetChecksum(Message, frozen=True, tag="getchecksum"):
    """This replica's checksum as of `index`: with no table the roots of all tables; else the
    children of one node of the table's tree. Asked of any replica, not of the leader."""

    index: int
    table: str = ""
    level: int = 0  # leaves are level 0 and have no children
    place: int = 0  # number of the node in its level


class Avoided(Message, frozen=True):
    """A replica that a router does not ask for now, or only to try it."""

    group: str
    node: str
    state: str  # of its circuit breaker: "open", "half-open"
    reason: str  # what the router met there last


class GetStatus(Message, frozen=True, tag="status"):
    """What this node hosts; `group` of the request is ignored. A router says by the way what it
    avoids, for whoever asks for the status next."""

    router: str = ""  # empty: not from a router
    avoided: tuple[Avoided, ...] = ()


class GetCluster(Message, frozen=True, tag="getcluster"):
    """The cluster.toml that this node goes by; `group` of the request is ignored."""


class SetCluster(Message, frozen=True, tag="setcluster"):
    """Go by this cluster.toml from now on, if it has a higher revision. Answered by
    `ClusterText`, of what is gone by then, or `Denied`."""

    text: str


class ChangeReplicas(Message, frozen=True, tag="change"):
    """One step of a group's membership, asked of its leader (docs/membership.md). Answered by
    `Changed` when it is applied there, `Denied`, `NotLeader`, `Busy` or `UnknownOutcome`.

    A step that has been taken already is `Changed` as well, so that it may be asked for again.
    """

    step: Literal["learner", "voter", "remove"]
    replica: int  # for a learner the next id, the group's `last_id` + 1: else it is denied
    node: str = ""  # where a learner is to live


class MoveLeadership(Message, frozen=True, tag="lead"):
    """Hand the group's leadership to a voter; to the leader itself: keep it, until it is lost or
    its node is drained, wherever leaders would be spread to. Answered by `Changed` once it leads
    (or did), `Denied` if it did not come to that, `NotLeader`, `Busy` or `UnknownOutcome`."""

    replica: int


RequestBody: TypeAlias = (
    OpenSession
    | Write
    | Prepare
    | Commit
    | Abort
    | TransactionOutcome
    | End
    | Speculate
    | Forget
    | Fence
    | Stage
    | Unstage
    | Checksum
    | SwitchFingerprint
    | Read
    | Fetch
    | CloseCursor
    | CloseGate
    | ConfirmGate
    | OpenGate
    | GetChecksum
    | GetStatus
    | GetCluster
    | SetCluster
    | ChangeReplicas
    | MoveLeadership
    | RecoverGroup
)


class Request(Message, frozen=True):
    """A client's request. `timeout_ms` is what is left of its deadline: the node drops a
    request whose time is over, because nobody waits for the answer. With 0 it is no request, but
    says the same of an earlier one of its id and connection: what is being worked on for that,
    and has had no effect yet, ends and is answered `Busy`."""

    id: int
    group: str
    timeout_ms: int
    body: msgspec.Raw  # a RequestBody; raw, so that a leader can splice a write into the log
