"""What a node answers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from nodes.protocol.base import Message
from nodes.protocol.requests import Avoided
from nodes.protocol.statements import SessionId, TransactionId, Value

__all__ = [
    "StatementResult",
    "Done",
    "Violation",
    "Piece",
    "SqlFailure",
    "Speculated",
    "NotOpen",
    "Opened",
    "Aborted",
    "AnswerNotKept",
    "NotLeader",
    "Stale",
    "Behind",
    "Busy",
    "UnknownSession",
    "UnknownOutcome",
    "NoSuchGroup",
    "Prepared",
    "Locked",
    "Decided",
    "Pinned",
    "NotPinned",
    "RangeSum",
    "Checksums",
    "NoChecksum",
    "Changed",
    "ClusterText",
    "Denied",
    "MemberStatus",
    "PreparedStatus",
    "ReplicaStatus",
    "Refusal",
    "RouterReport",
    "Status",
    "leader_of",
    "ResponseBody",
    "Response",
]


class StatementResult(Message, frozen=True):
    """What one statement did."""

    row_count: int  # rows returned, or rows changed
    rows: bytes = b""  # DataRow messages, ready for the wire, if columns were asked for
    values: tuple[tuple[Value, ...], ...] = ()  # rows as values, if not


class Done(Message, frozen=True, tag="done"):
    """Success. `index` is the applied index of the state the answer comes from, or of the entry
    that brought the write, with whatever else that entry brought; `incarnation`, of a read, is
    that of the group in that state."""

    results: tuple[StatementResult, ...]
    index: int
    incarnation: int = 0  # a write's is that of its session


class Violation(Message, frozen=True):
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


class Piece(Message, frozen=True, tag="piece"):
    """Some rows of a streamed read, which are not all."""

    result: StatementResult
    index: int  # the applied index of the state that is read
    cursor: int  # for `Fetch`
    node: str = ""  # where
    incarnation: int = 0  # of the group in that state


class SqlFailure(Message, frozen=True, tag="failure"):
    """The unit failed as SQL does (definite; nothing of it is applied). Deterministic: the
    same on every replica."""

    sqlstate: str
    message: str
    statement: int = 0  # ordinal of the statement that failed
    detail: str = ""
    violation: Violation | None = None
    row: int = 0  # of a staged statement: which of its rows failed, from 1; 0 is unknown


class Speculated(Message, frozen=True, tag="speculated"):
    """What the last step of a `Speculate` answers: a result, or a failure that every replica
    would find as well and that is a step like any other."""

    result: StatementResult | None = None
    failure: SqlFailure | None = None
    digest: bytes = b""  # of all rows of a step that is streamed: `result` has the first
    cursor: int = 0  # for `Fetch`; 0: there are no more
    node: str = ""  # where
    index: int = 0  # the applied index of the state that it was found in ...
    incarnation: int = 0  # ... and the incarnation of the group there


class NotOpen(Message, frozen=True, tag="notopen"):
    """The leader does not have the steps that a `Speculate` left out: send them all."""


class Opened(Message, frozen=True, tag="opened"):
    session: SessionId


class Aborted(Message, frozen=True, tag="aborted"):
    """(session, seq) is fenced: it was never applied and never will be. Definite."""


class AnswerNotKept(Message, frozen=True, tag="notkept"):
    """(session, seq) is committed; its answer was too large to keep."""


class NotLeader(Message, frozen=True, tag="notleader"):
    """This replica did not take the request (definite for this copy). `leader` is the name of
    the node believed to lead, if any."""

    leader: str | None


class Stale(Message, frozen=True, tag="stale"):
    """A guard failed. Not remembered: another copy of the same command may still apply. A state
    whose version is lower than the guard's is behind: another replica's may not be."""

    object: str
    have: int  # version in the state
    want: int  # version in the guard


class Behind(Message, frozen=True, tag="behind"):
    """This replica's state is older than the read asks for (`AtLeast`), or of another incarnation
    of its group; it has waited a little."""

    incarnation: int
    index: int


class Busy(Message, frozen=True, tag="busy"):
    """Not taken, a queue is full or the node is stopping (definite for this copy)."""

    reason: str
    hint: str = ""  # what to do about it, where waiting alone does not help


class UnknownSession(Message, frozen=True, tag="nosession"):
    """The session is expired or of another incarnation: whether (session, seq) was applied
    can no longer be told. Indefinite."""


class UnknownOutcome(Message, frozen=True, tag="unknown"):
    """The command was in the log when the leader lost its office. Indefinite."""

    reason: str


class NoSuchGroup(Message, frozen=True, tag="nogroup"):
    """This node hosts no replica of the group (definite for this copy)."""


class Prepared(Message, frozen=True, tag="prepared"):
    """The promise is given, by the entry at `index`."""

    index: int
    results: tuple[StatementResult, ...] | None
    """What the write will have answered; None if that was too large to keep for a repeat."""


class Locked(Message, frozen=True, tag="locked"):
    """The command touches what another transaction has prepared. It had no effect, but another copy
    of it may: not remembered."""

    holder: TransactionId


class Decided(Message, frozen=True, tag="decided"):
    """The outcome of a transaction."""

    commit: bool
    index: int = 0  # of the entry that decided


class Pinned(Message, frozen=True, tag="pinned"):
    """A gate is closed, and a read transaction open behind it (`Read.pin`)."""

    pin: int
    node: str = ""  # that has it


class NotPinned(Message, frozen=True, tag="notpinned"):
    """It did not come to that, or its gate was open; it may be asked for again."""

    reason: str


class RangeSum(Message, frozen=True):
    """A node of a table's Merkle tree."""

    table: str
    level: int
    place: int
    rows: int
    hash: bytes
    first: tuple[Value, ...]  # keys of the first and last row
    last: tuple[Value, ...]


class Checksums(Message, frozen=True, tag="checksums"):
    """The nodes that were asked for, in the order of tables or keys."""

    ranges: tuple[RangeSum, ...]


class NoChecksum(Message, frozen=True, tag="nochecksum"):
    """There is none of that index: `reason` says why; `pending` that it is being computed."""

    reason: str
    pending: bool


class Changed(Message, frozen=True, tag="changed"):
    """The group is as it was asked to be. `index` is the log's where that was so."""

    index: int


class ClusterText(Message, frozen=True, tag="cluster"):
    """The cluster.toml that a node goes by."""

    revision: int
    text: str


class Denied(Message, frozen=True, tag="denied"):
    """It was not done and will not be (definite). `reason` is a full sentence that says what to
    do."""

    reason: str


class MemberStatus(Message, frozen=True):
    """One member of a group, as a replica's log has it; the rest is known by the leader only."""

    replica: int
    node: str
    is_voter: bool  # else a learner
    match: int | None = None  # its log is durable and equal to the leader's up to here
    is_active: bool | None = None
    """It has answered this leader lately: within one to two election timeouts."""


class PreparedStatus(Message, frozen=True):
    """A transaction over several groups whose outcome a replica does not know yet."""

    id: TransactionId
    age_ms: int  # by the clocks of the leader that prepared it and of this node
    anchor: str
    objects: tuple[str, ...]  # what it keeps others from; empty: everything


class ReplicaStatus(Message, frozen=True):
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
    prepared: tuple[PreparedStatus, ...] = ()  # the oldest of them
    prepared_count: int = 0
    outcomes: int = 0  # that are remembered here, because others may not have applied them


class Refusal(Message, frozen=True):
    """Another node does not listen to this one."""

    node: str
    reason: str


class RouterReport(Message, frozen=True):
    """What a router said of itself when it asked for a status lately."""

    router: str
    avoided: tuple[Avoided, ...]


class Status(Message, frozen=True, tag="nodestatus"):
    """All replicas that a node hosts, ordered by group."""

    node: str
    pid: int
    replicas: tuple[ReplicaStatus, ...]
    fingerprint: str = ""  # of the process, see `nodes.fingerprint`
    revision: int = 0  # of the cluster.toml that it goes by
    data_id: str = ""  # whose files it has
    refusals: tuple[Refusal, ...] = ()
    draining: bool = False  # it is about to stop, and wants nothing new
    requests: int = 0  # that it has not answered yet, of all its clients
    late_ms: float = (
        0.0  # how late its turns come, smoothed: what work it cannot keep up with costs
    )
    routers: tuple[RouterReport, ...] = ()


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
    | Behind
    | Busy
    | UnknownSession
    | UnknownOutcome
    | NoSuchGroup
    | Prepared
    | Locked
    | Decided
    | Pinned
    | NotPinned
    | Checksums
    | NoChecksum
    | Changed
    | ClusterText
    | Denied
    | Status
)


class Response(Message, frozen=True):
    id: int
    body: ResponseBody
