"""What a node says of itself on `/metrics`. Every name is in docs/operations.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from nodes.metrics import Family, family, in_words
from nodes.process_metrics import process_families

if TYPE_CHECKING:
    from nodes.hosting import Hosting
    from nodes.log_store import LogStore
    from nodes.peers import Peers
    from nodes.server import Server

__all__ = ["node_families"]

_ROLES: Final = ("leader", "candidate", "precandidate", "follower", "stopped")


def node_families(
    hosting: Hosting,
    server: Server,
    peers: Peers,
    store: LogStore,
    requests: Mapping[type, int],
) -> list[Family]:
    """As they stand now. `requests` counts by the type of the body."""
    statuses = hosting.statuses()
    engines = {group: each.engine for group, each in hosting.running.items()}
    led = [status for status in statuses if status.role == "leader"]
    return [
        family(
            "shardrouter_node_requests_total",
            "counter",
            "Requests that came, by what they ask for.",
            {in_words(kind): count for kind, count in requests.items()},
            "kind",
        ),
        family(
            "shardrouter_node_answers_total",
            "counter",
            "Answers that left, by what they say.",
            {in_words(kind): count for kind, count in server.answers.items()},
            "answer",
        ),
        family(
            "shardrouter_node_connections",
            "gauge",
            "Connections accepted: of clients, of other nodes, and not yet greeted.",
            server.kinds(),
            "kind",
        ),
        family(
            "shardrouter_node_peers_connected",
            "gauge",
            "Other nodes that this one has a connection to.",
            len(peers.connected()),
        ),
        family(
            "shardrouter_log_fsync_seconds",
            "histogram",
            "COMMIT of the log, which returns after the fsync; one for all groups of a turn.",
            store.syncs,
        ),
        family(
            "shardrouter_raft_commit_seconds",
            "histogram",
            "From the proposal of an entry to its being applied, at the leader.",
            {group: engine.commits for group, engine in engines.items()},
            "group",
        ),
        family(
            "shardrouter_raft_elections_won_total",
            "counter",
            "How often this replica became the leader: of all nodes together, leader changes.",
            {group: engine.elections_won for group, engine in engines.items()},
            "group",
        ),
        family(
            "shardrouter_raft_proposals",
            "gauge",
            "Commands that wait at this leader: held, queued or in the log.",
            {group: engine.proposals for group, engine in engines.items()},
            "group",
        ),
        family(
            "shardrouter_raft_reads",
            "gauge",
            "Reads that wait to be confirmed, or for what is committed to be applied.",
            {group: engine.reads for group, engine in engines.items()},
            "group",
        ),
        family(
            "shardrouter_raft_role",
            "gauge",
            "1 for what this replica is.",
            {(status.group, role): status.role == role for status in statuses for role in _ROLES},
            "group",
            "role",
        ),
        family(
            "shardrouter_raft_term",
            "gauge",
            "The highest term that this replica has met.",
            {status.group: status.term for status in statuses},
            "group",
        ),
        family(
            "shardrouter_raft_commit_index",
            "gauge",
            "The last log entry known here to be committed.",
            {status.group: status.commit for status in statuses},
            "group",
        ),
        family(
            "shardrouter_raft_applied_index",
            "gauge",
            "The last log entry applied here; behind the commit index it lags.",
            {status.group: status.applied for status in statuses},
            "group",
        ),
        family(
            "shardrouter_raft_follower_lag_entries",
            "gauge",
            "Entries of the leader's log that a member's log does not have yet.",
            {
                (status.group, member.node): status.last - member.match
                for status in led
                for member in status.members
                if member.match is not None and member.node
            },
            "group",
            "node",
        ),
        family(
            "shardrouter_prepared_transactions",
            "gauge",
            "Transactions over several groups whose outcome this replica does not know yet.",
            {status.group: status.prepared_count for status in statuses},
            "group",
        ),
        family(
            "shardrouter_prepared_oldest_seconds",
            "gauge",
            "For how long the oldest of them has been prepared; 0 if there is none.",
            {
                status.group: status.prepared[0].age_ms / 1000 if status.prepared else 0
                for status in statuses
            },
            "group",
        ),
        family(
            "shardrouter_remembered_outcomes",
            "gauge",
            "Outcomes that this replica keeps until all participants have applied them.",
            {status.group: status.outcomes for status in statuses},
            "group",
        ),
        family(
            "shardrouter_raft_halted",
            "gauge",
            "1: this replica votes and stores, but may not apply writes.",
            {status.group: bool(status.halted) for status in statuses},
            "group",
        ),
        *process_families(),
    ]
