"""The node protocol: every message that crosses a node's port, and the frames that carry them.

One port serves peers (other nodes) and clients (routers, the command line). A connection
starts with a greeting, in which both sides prove that they know the cluster's secret
(`nodes.handshake`): `Hello`, `Challenge`, `Proof`, and `Welcome` or, at any point, `Refused`.
After that a client sends `Request`s and receives `Response`s in any order, a peer sends
`PeerBatch`es and receives nothing. A frame of requests or responses is an array of them: all that
one side has for the other in a turn of its loop.

A frame is a 4-byte big-endian length and one msgpack array (msgspec's tagged, array-like
structs): no pickle, no eval, and a length over `FRAME_BYTES_MAX` (`GREETING_BYTES_MAX` until
the greeting is done) ends the connection before anything is buffered. This module is pure: it
knows bytes and values, no socket and no clock.

The body of a write is also what the Raft log carries: the leader splices the raw bytes of
requests into an `Entry` (see there), so SQL and parameters are encoded once, by the router, and
decoded once on each replica.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import msgspec

from nodes.raft.messages import RaftMessage

__all__ = [
    "PROTOCOL_VERSION",
    "FRAME_BYTES_MAX",
    "GREETING_BYTES_MAX",
    "ENTRY_BYTES_MAX",
    "ANSWER_BYTES_MAX",
    "STORED_ANSWER_BYTES_MAX",
    "STAGE_CHUNK_BYTES",
    "OPEN_SEQS_MAX",
    "ProtocolError",
    "Hello",
    "Challenge",
    "Files",
    "Proof",
    "Welcome",
    "Refused",
    "Value",
    "SessionId",
    "OutputColumn",
    "Staged",
    "Statement",
    "Guard",
    "SetVersion",
    "Ran",
    "Defined",
    "Mark",
    "Step",
    "Transaction",
    "TRANSACTION_STEPS_MAX",
    "Lock",
    "Speculate",
    "Forget",
    "OpenSession",
    "Write",
    "Fence",
    "Stage",
    "Unstage",
    "ExpireSessions",
    "SwitchFingerprint",
    "NewIncarnation",
    "RecoverGroup",
    "Consistency",
    "Read",
    "Fetch",
    "CloseCursor",
    "Checksum",
    "GetChecksum",
    "GetStatus",
    "GetCluster",
    "SetCluster",
    "ClusterText",
    "ChangeReplicas",
    "MoveLeadership",
    "Request",
    "RequestBody",
    "Response",
    "ResponseBody",
    "StatementResult",
    "Done",
    "Piece",
    "Speculated",
    "NotOpen",
    "SqlFailure",
    "Opened",
    "Aborted",
    "AnswerNotKept",
    "NotLeader",
    "Stale",
    "Busy",
    "UnknownSession",
    "UnknownOutcome",
    "NoSuchGroup",
    "RangeSum",
    "Checksums",
    "NoChecksum",
    "Changed",
    "Denied",
    "MemberStatus",
    "ReplicaStatus",
    "Refusal",
    "Status",
    "leader_of",
    "Entry",
    "EntryBody",
    "Envelope",
    "Beat",
    "PeerBatch",
]

PROTOCOL_VERSION: Final = 3
"""Raised whenever a message changes meaning; both ends must speak the same one."""

FRAME_BYTES_MAX: Final = 8 * 1024 * 1024
"""Largest payload of one frame: an answer at its limit, with room for its envelope."""

GREETING_BYTES_MAX: Final = 4096
"""Largest payload of one frame before both sides know each other."""

ENTRY_BYTES_MAX: Final = 1024 * 1024
"""Largest Raft entry (DESIGN section 6). Larger writes answer SQLSTATE 54000."""

ANSWER_BYTES_MAX: Final = 7 * 1024 * 1024
"""Largest set of rows one shard answers at once. Larger ones answer SQLSTATE 54000."""

STORED_ANSWER_BYTES_MAX: Final = 4 * 1024
"""Answers of writes up to this size are kept for a repeat of the command; larger ones are
remembered as committed, without the answer (`AnswerNotKept`)."""

STAGE_CHUNK_BYTES: Final = 512 * 1024
"""Of a stage, in one entry: with its envelope well below the limit of an entry."""

OPEN_SEQS_MAX: Final = 1024
"""Most commands of one session above its watermark; bounds the memory of deduplication."""


TRANSACTION_STEPS_MAX: Final = 100_000
"""Most steps of one transaction; more answer SQLSTATE 54000."""


class ProtocolError(Exception):
    """The bytes received are not this protocol; the connection must be closed."""


class _Message(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Base of all messages: immutable, encoded as a msgpack array, compared by value."""


# --------------------------------------------------------------------------- greeting


class Hello(_Message, frozen=True, tag="hello"):
    """First message of whoever dials. Its first four fields are the same in every version of
    the protocol, so that another one is told which is spoken here."""

    protocol: int
    cluster_id: str
    kind: str  # "peer" or "client"
    name: str  # the node's or the router's name, for logs
    nonce: bytes = b""


class Challenge(_Message, frozen=True, tag="challenge"):
    """The node's answer: who it is, and the proof that it knows the secret."""

    node: str
    nonce: bytes
    met: int  # the latest start of the dialing node that this one has met; 0: none
    proof: bytes = b""


class Files(_Message, frozen=True):
    """Whose files a node has (docs/membership.md)."""

    data_id: str  # random, made with the files
    starts: int  # how often they were opened
    start_id: bytes  # random, of this start
    met_start_id: bytes = b""  # of the start that `Challenge.met` names; empty: there was none


class Proof(_Message, frozen=True, tag="proof"):
    """The dialer's answer to the challenge. A client has no files."""

    files: Files | None = None
    revision: int = 0  # of its cluster.toml
    proof: bytes = b""


class Welcome(_Message, frozen=True, tag="welcome"):
    """The node accepts the connection."""

    node: str
    revision: int = 0  # of its cluster.toml


class Refused(_Message, frozen=True, tag="refused"):
    """The node does not accept the connection and closes it; `reason` is a full sentence."""

    reason: str


# --------------------------------------------------------------------------- values

if TYPE_CHECKING:
    Value: TypeAlias = bool | int | float | str | bytes | None
else:
    # msgspec refuses a union of str and bytes, which msgpack itself tells apart; anything that
    # is not a Value is refused by SQLite when it is bound.
    Value = Any
"""A parameter or a column value; integers are 64 bits wide."""


class SessionId(_Message, frozen=True):
    """Names a session of exactly-once commands (DESIGN section 8)."""

    incarnation: int  # of the group; raised only by an unsafe recovery
    index: int  # log index of the entry that opened the session


class OutputColumn(_Message, frozen=True):
    """How one column of a result goes onto the PostgreSQL wire."""

    oid: int  # PostgreSQL type OID, see nodes.values
    binary: bool  # PostgreSQL format code 1


class Staged(_Message, frozen=True):
    """Names what a stage holds, and says what it has to be (docs/bulk.md): rows, statements, or
    steps of a transaction, as is told where it is named."""

    session: SessionId  # whose stage it is
    stage: int  # its number in the session, never used twice
    chunks: int
    size: int  # of all chunks, in bytes
    digest: bytes  # xxh3-128 of their content, in order
    rows: int = 0  # how many of them: what a leader allows for when it tries them


class Statement(_Message, frozen=True):
    """One SQLite statement with its parameters (?1, ?2, ... in `sql`)."""

    sql: str
    parameters: tuple[Value, ...] = ()
    columns: tuple[OutputColumn, ...] = ()
    """If given, rows are answered as PostgreSQL DataRow messages in these formats; if empty,
    rows are answered as values."""
    staged: Staged | None = None
    """If given, it is run once for each row of this stage, which are its parameters, and counts
    as one statement."""


class Guard(_Message, frozen=True):
    """Refuse the command unless `object` has exactly `version` in the state that runs it.

    Objects are `table:<name>`, `slot:<number>`, `catalog`; an object never set has version 0.
    """

    object: str
    version: int


class SetVersion(_Message, frozen=True):
    """Set the version of an object, in the same transaction as the statements."""

    object: str
    version: int


# --------------------------------------------------------------------------- transactions


class Ran(_Message, frozen=True, tag="ran"):
    """A statement of a transaction, and what its client was told (`nodes.outcome_digest`)."""

    statement: Statement
    digest: bytes = b""  # empty: it has not run yet
    stream: bool = False  # its rows come in pieces; the digest is of each of them, in order


class Mark(_Message, frozen=True, tag="mark"):
    """SAVEPOINT, ROLLBACK TO SAVEPOINT or RELEASE SAVEPOINT. A savepoint is named by how many
    there are with it: SQLite and PostgreSQL nest them alike."""

    what: Literal["savepoint", "rollback", "release"]
    depth: int


class Defined(_Message, frozen=True, tag="defined"):
    """A change of the schema: its statements, which count as one that returns nothing, and what its
    client was told. A write whose transaction has one sets versions."""

    statements: tuple[Statement, ...]
    digest: bytes = b""


Step: TypeAlias = Ran | Mark | Defined


class Transaction(_Message, frozen=True):
    """What a client did between BEGIN and COMMIT, reads and failures included, in its order
    (docs/transactions.md). `now_us` and `seed` are those of its BEGIN; the statement at an
    ordinal among the steps draws from (seed, ordinal), wherever and however often it runs."""

    now_us: int
    seed: int
    steps: tuple[Step, ...]
    staged: Staged | None = None  # steps that were sent ahead, before `steps`
    stages: tuple[Staged, ...] = ()  # that statements among those name


# --------------------------------------------------------------------------- requests


class OpenSession(_Message, frozen=True, tag="open"):
    """Open a session; answered by `Opened`."""

    router: str


class Write(_Message, frozen=True, tag="write"):
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


class Lock(_Message, frozen=True):
    """Before a statement runs, wait until no other transaction has asked for the same, or for
    `timeout_ms` (0: as long as the statement may take). See `nodes.row_locks`."""

    object: bytes
    exclusive: bool
    timeout_ms: int = 0


class Speculate(_Message, frozen=True, tag="speculate"):
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


class Forget(_Message, frozen=True, tag="forget"):
    """The transaction has ended: others need not wait for it. Answered by `Done`."""

    id: bytes


class Fence(_Message, frozen=True, tag="fence"):
    """Make the outcome of (session, seq) definite: its stored answer if it was applied, else
    `Aborted` is recorded and a copy that arrives later is refused with it."""

    session: SessionId
    seq: int
    watermark: int


class Stage(_Message, frozen=True, tag="stage"):
    """A piece of what a later write will name (`Staged`): kept, and visible to nobody. Applied at
    most once per (session, seq), as a `Write` is. `chunk` counts from 0; they may come in any
    order. Answered by `Done`."""

    session: SessionId
    seq: int
    watermark: int
    stage: int
    chunk: int
    data: bytes


class Unstage(_Message, frozen=True, tag="unstage"):
    """Forget a stage, if there is one: nobody will name it. May be repeated. Answered by `Done`."""

    session: SessionId
    stage: int


class ExpireSessions(_Message, frozen=True, tag="expire"):
    """Proposed by a leader only: forget sessions, with their stages, and stages of others, that
    were idle for too long."""

    sessions: tuple[SessionId, ...]
    stages: tuple[tuple[SessionId, int], ...] = ()


class SwitchFingerprint(_Message, frozen=True, tag="fingerprint"):
    """From this entry on the group's writes are executed by processes of this execution
    fingerprint (`nodes.fingerprint`), if its present one is `instead_of`; empty: it has none yet.
    Answered by `Done`, also if it is so already, or `SqlFailure`."""

    fingerprint: str
    instead_of: str


class NewIncarnation(_Message, frozen=True, tag="incarnation"):
    """Written by an unsafe recovery only (`nodes.recovery`): sessions of before are unknown."""

    incarnation: int  # `nodes.incarnations` has how it is made


class RecoverGroup(_Message, frozen=True, tag="recover"):
    """Go on with this replica alone, as a new incarnation of its group; what only others have is
    lost. Asked of the replica's node, not of a leader. Answered by `Changed` with the index at
    which that stands in its log, also if it was done before, or `Denied`."""

    replica: int
    mark: int  # random, below `nodes.incarnations.MARKS`


Consistency: TypeAlias = Literal["linearizable", "any"]
"""What a read is promised (DESIGN section 9). linearizable: it sees every write acknowledged
before it was sent. any: it sees some state that the group has been in, as the replica that is
asked has it."""


class Read(_Message, frozen=True, tag="read"):
    """Read-only statements in one read transaction."""

    statements: tuple[Statement, ...]
    guards: tuple[Guard, ...] = ()
    quick: bool = False
    """Point reads: bounded work, run inline."""
    consistency: Consistency = "linearizable"
    at_follower: bool = False
    """A linearizable read may be answered by a follower that asks its leader: for a router that
    cannot reach the leader. Else a follower names the leader."""
    stream: bool = False
    """Of one statement: if its rows are more than one answer should hold, they come in pieces
    (`Piece`)."""


class Fetch(_Message, frozen=True, tag="fetch"):
    """The next piece of a streamed read, asked of the node that began it; answered by `Piece`,
    or `Done` with the last. Once: nobody repeats it. To `keep` it: only that its router is there,
    answered by `Done` without rows."""

    cursor: int
    keep: bool = False


class CloseCursor(_Message, frozen=True, tag="closecursor"):
    """Nobody wants more of a streamed read; answered by `Done`."""

    cursor: int


class Checksum(_Message, frozen=True, tag="checksum"):
    """Compute a checksum of every replica, of the state at this entry; answered by `Done`, whose
    index names it, before it is computed. It changes nothing and may be repeated."""


class GetChecksum(_Message, frozen=True, tag="getchecksum"):
    """This replica's checksum as of `index`: with no table the roots of all tables; else the
    children of one node of the table's tree. Asked of any replica, not of the leader."""

    index: int
    table: str = ""
    level: int = 0  # leaves are level 0 and have no children
    place: int = 0  # number of the node in its level


class GetStatus(_Message, frozen=True, tag="status"):
    """What this node hosts; `group` of the request is ignored."""


class GetCluster(_Message, frozen=True, tag="getcluster"):
    """The cluster.toml that this node goes by; `group` of the request is ignored."""


class SetCluster(_Message, frozen=True, tag="setcluster"):
    """Go by this cluster.toml from now on, if it has a higher revision. Answered by
    `ClusterText`, of what is gone by then, or `Denied`."""

    text: str


class ChangeReplicas(_Message, frozen=True, tag="change"):
    """One step of a group's membership, asked of its leader (docs/membership.md). Answered by
    `Changed` when it is applied there, `Denied`, `NotLeader`, `Busy` or `UnknownOutcome`.

    A step that has been taken already is `Changed` as well, so that it may be asked for again.
    """

    step: Literal["learner", "voter", "remove"]
    replica: int  # for a learner the next id, the group's `last_id` + 1: else it is denied
    node: str = ""  # where a learner is to live


class MoveLeadership(_Message, frozen=True, tag="lead"):
    """Hand the group's leadership to a voter; to the leader itself: keep it, until it is lost or
    its node is drained, wherever leaders would be spread to. Answered by `Changed` once it leads
    (or did), `Denied` if it did not come to that, `NotLeader`, `Busy` or `UnknownOutcome`."""

    replica: int


RequestBody: TypeAlias = (
    OpenSession
    | Write
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
    | GetChecksum
    | GetStatus
    | GetCluster
    | SetCluster
    | ChangeReplicas
    | MoveLeadership
    | RecoverGroup
)


class Request(_Message, frozen=True):
    """A client's request. `timeout_ms` is what is left of its deadline: the node drops a
    request whose time is over, because nobody waits for the answer."""

    id: int
    group: str
    timeout_ms: int
    body: msgspec.Raw  # a RequestBody; raw, so that a leader can splice a write into the log


# --------------------------------------------------------------------------- responses


class StatementResult(_Message, frozen=True):
    """What one statement did."""

    row_count: int  # rows returned, or rows changed
    rows: bytes = b""  # DataRow messages, ready for the wire, if columns were asked for
    values: tuple[tuple[Value, ...], ...] = ()  # rows as values, if not


class Done(_Message, frozen=True, tag="done"):
    """Success. `index` is the applied index of the state the answer comes from, or of the entry
    that brought the write, with whatever else that entry brought."""

    results: tuple[StatementResult, ...]
    index: int


class Violation(_Message, frozen=True):
    """The row that a constraint refused, in stored forms, as far as it is known.

    kind: "not null" and "check", whose `values` are the whole row in the order of the table;
    "unique", whose `values` are those of `columns`; "reference", where they are not a key of
    `parent`; "referenced", where `table` refers to a row of `parent` with these values.
    """

    kind: str
    table: str
    columns: tuple[str, ...] = ()
    constraint: str = ""
    values: tuple[Value, ...] = ()
    parent: str = ""


class Piece(_Message, frozen=True, tag="piece"):
    """Some rows of a streamed read, which are not all."""

    result: StatementResult
    index: int  # the applied index of the state that is read
    cursor: int  # for `Fetch`
    node: str = ""  # where


class SqlFailure(_Message, frozen=True, tag="failure"):
    """The unit failed as SQL does (definite; nothing of it is applied). Deterministic: the
    same on every replica."""

    sqlstate: str
    message: str
    statement: int = 0  # ordinal of the statement that failed
    detail: str = ""
    violation: Violation | None = None
    row: int = 0  # of a staged statement: which of its rows failed, from 1; 0 is unknown


class Speculated(_Message, frozen=True, tag="speculated"):
    """What the last step of a `Speculate` answers: a result, or a failure that every replica
    would find as well and that is a step like any other."""

    result: StatementResult | None = None
    failure: SqlFailure | None = None
    digest: bytes = b""  # of all rows of a step that is streamed: `result` has the first
    cursor: int = 0  # for `Fetch`; 0: there are no more
    node: str = ""  # where


class NotOpen(_Message, frozen=True, tag="notopen"):
    """The leader does not have the steps that a `Speculate` left out: send them all."""


class Opened(_Message, frozen=True, tag="opened"):
    session: SessionId


class Aborted(_Message, frozen=True, tag="aborted"):
    """(session, seq) is fenced: it was never applied and never will be. Definite."""


class AnswerNotKept(_Message, frozen=True, tag="notkept"):
    """(session, seq) is committed; its answer was too large to keep."""


class NotLeader(_Message, frozen=True, tag="notleader"):
    """This replica did not take the request (definite for this copy). `leader` is the name of
    the node believed to lead, if any."""

    leader: str | None


class Stale(_Message, frozen=True, tag="stale"):
    """A guard failed. Not remembered: another copy of the same command may still apply. A state
    whose version is lower than the guard's is behind: another replica's may not be."""

    object: str
    have: int  # version in the state
    want: int  # version in the guard


class Busy(_Message, frozen=True, tag="busy"):
    """Not taken, a queue is full or the node is stopping (definite for this copy)."""

    reason: str
    hint: str = ""  # what to do about it, where waiting alone does not help


class UnknownSession(_Message, frozen=True, tag="nosession"):
    """The session is expired or of another incarnation: whether (session, seq) was applied
    can no longer be told. Indefinite."""


class UnknownOutcome(_Message, frozen=True, tag="unknown"):
    """The command was in the log when the leader lost its office. Indefinite."""

    reason: str


class NoSuchGroup(_Message, frozen=True, tag="nogroup"):
    """This node hosts no replica of the group (definite for this copy)."""


class RangeSum(_Message, frozen=True):
    """A node of a table's Merkle tree."""

    table: str
    level: int
    place: int
    rows: int
    hash: bytes
    first: tuple[Value, ...]  # keys of the first and last row
    last: tuple[Value, ...]


class Checksums(_Message, frozen=True, tag="checksums"):
    """The nodes that were asked for, in the order of tables or keys."""

    ranges: tuple[RangeSum, ...]


class NoChecksum(_Message, frozen=True, tag="nochecksum"):
    """There is none of that index: `reason` says why; `pending` that it is being computed."""

    reason: str
    pending: bool


class Changed(_Message, frozen=True, tag="changed"):
    """The group is as it was asked to be. `index` is the log's where that was so."""

    index: int


class ClusterText(_Message, frozen=True, tag="cluster"):
    """The cluster.toml that a node goes by."""

    revision: int
    text: str


class Denied(_Message, frozen=True, tag="denied"):
    """It was not done and will not be (definite). `reason` is a full sentence that says what to
    do."""

    reason: str


class MemberStatus(_Message, frozen=True):
    """One member of a group, as a replica's log has it; the rest is known by the leader only."""

    replica: int
    node: str
    is_voter: bool  # else a learner
    match: int | None = None  # its log is durable and equal to the leader's up to here
    is_active: bool | None = None
    """It has answered this leader lately: within one to two election timeouts."""


class ReplicaStatus(_Message, frozen=True):
    """One replica as its node sees it."""

    group: str
    replica: int
    role: str  # "leader", "candidate", "precandidate", "follower"; "stopped" after a fault
    leader: str | None  # node name
    term: int
    commit: int
    applied: int
    last: int  # last log index
    stopped: str = ""  # why the replica stopped, a full sentence
    members: tuple[MemberStatus, ...] = ()  # as in its log, by id; empty if it knows of none
    last_id: int = 0  # the highest id that the group has ever given, as in its log
    is_changing: bool = False  # that membership is not applied here yet
    last_term: int = 0  # of the last log entry
    fingerprint: str = ""  # the group's, in the state of this replica
    halted: str = ""  # why it applies no write though it votes and stores the log, a full sentence
    diverged: str = ""  # what this node's last comparison of the group's replicas found
    is_kept: bool = False  # of a leader: it was asked to stay where it is


class Refusal(_Message, frozen=True):
    """Another node does not listen to this one."""

    node: str
    reason: str


class Status(_Message, frozen=True, tag="nodestatus"):
    """All replicas that a node hosts, ordered by group."""

    node: str
    pid: int
    replicas: tuple[ReplicaStatus, ...]
    fingerprint: str = ""  # of the process, see `nodes.fingerprint`
    revision: int = 0  # of the cluster.toml that it goes by
    data_id: str = ""  # whose files it has
    refusals: tuple[Refusal, ...] = ()


def leader_of(group: str, statuses: Iterable[Status | None]) -> str | None:
    """The node that says it leads `group`. Of two that do, the one with the newer term: the
    other was cut off and does not know yet."""
    leading = [
        (replica.term, status.node)
        for status in statuses
        if status is not None
        for replica in status.replicas
        if replica.group == group and replica.role == "leader"
    ]
    return max(leading)[1] if leading else None


ResponseBody: TypeAlias = (
    Done
    | Piece
    | Speculated
    | NotOpen
    | SqlFailure
    | Opened
    | Aborted
    | AnswerNotKept
    | NotLeader
    | Stale
    | Busy
    | UnknownSession
    | UnknownOutcome
    | NoSuchGroup
    | Checksums
    | NoChecksum
    | Changed
    | ClusterText
    | Denied
    | Status
)


class Response(_Message, frozen=True):
    id: int
    body: ResponseBody


# --------------------------------------------------------------------------- log entries

EntryBody: TypeAlias = (
    OpenSession
    | Write
    | Fence
    | Stage
    | Unstage
    | ExpireSessions
    | Checksum
    | SwitchFingerprint
    | NewIncarnation
)


class Entry(_Message, frozen=True):
    """One entry of a group's log as the state machine sees it. A leader's no-op is the empty
    byte string and never decoded.

    It has one body, or several commands that came together: each of them a quick `Write` that
    sets no versions, with an outcome of its own, applied in their order.

    `now_us` (microseconds since the epoch) and `seed` make the statements' time and random
    functions the same on every replica; no correctness rule reads them. They are those of the
    first body, and one more for every body behind it.
    """

    now_us: int
    seed: int
    bodies: tuple[EntryBody, ...]


# --------------------------------------------------------------------------- peers


class Envelope(_Message, frozen=True):
    """One Raft message of one group. Sender and receiver are in the message, by replica id."""

    group: str
    message: RaftMessage


class Beat(_Message, frozen=True):
    """A node's own heartbeat, sent to every other node each tick (`nodes.neighbours`)."""

    life: int  # changes with every start, and whenever one of the node's replicas stops
    leads: int  # how many groups it leads


class PeerBatch(_Message, frozen=True, tag="peers"):
    """Everything one node has for another in one turn of its loop."""

    envelopes: tuple[Envelope, ...]
    beat: Beat | None = None
