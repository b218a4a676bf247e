"""What a router says of itself on `/metrics`. Every name is in docs/operations.md."""

from __future__ import annotations

from nodes.metrics import Family, family, in_words
from nodes.process_metrics import process_families
from shardrouter.admission import Places
from shardrouter.delivery import Counts
from shardrouter.instants import InstantCounts
from shardrouter.meter import KINDS, Meter

__all__ = ["router_families"]


def router_families(
    meter: Meter, deliveries: Counts, places: Places, instants: InstantCounts
) -> list[Family]:
    """Of its statements, and of what it sends to nodes, as they stand now."""
    outcomes: dict[tuple[str, str], float] = {}
    for kind in KINDS:
        failed, unknown = meter.failed[kind], meter.unknown[kind]
        done = meter.took[kind].count - failed - unknown
        for outcome, count in (("done", done), ("failed", failed), ("unknown", unknown)):
            outcomes[kind, outcome] = count
    return [
        family(
            "shardrouter_statements_total",
            "counter",
            "Statements that were answered, by what they are and what became of them.",
            outcomes,
            "kind",
            "outcome",
        ),
        family(
            "shardrouter_statement_seconds",
            "histogram",
            "From the arrival of a unit of statements to its answer, however it ended.",
            {kind: meter.took[kind] for kind in KINDS},
            "kind",
        ),
        family(
            "shardrouter_errors_total",
            "counter",
            "Errors by SQLSTATE: 40001 is a conflict, 08007 an unknown outcome, 53300 too much.",
            meter.sqlstates,
            "sqlstate",
        ),
        family(
            "shardrouter_router_sends_total",
            "counter",
            "Requests to nodes: sent, and sent again of these, for whatever reason.",
            {"first": deliveries.first, "again": deliveries.again},
            "copy",
        ),
        family(
            "shardrouter_router_retries_held_back_total",
            "counter",
            "Retries that had to wait, because a tenth of what is asked is all that may be.",
            deliveries.held_back,
        ),
        family(
            "shardrouter_router_refusals_total",
            "counter",
            "Requests that a node did not take, or did not answer, by the reason.",
            {in_words(kind): count for kind, count in deliveries.not_taken.items()},
            "why",
        ),
        family(
            "shardrouter_router_instants_total",
            "counter",
            "Reads of several shards at one instant: found, or missed and asked for otherwise.",
            {"taken": instants.taken, "missed": instants.missed},
            "outcome",
        ),
        family(
            "shardrouter_router_units",
            "gauge",
            "Units of statements: in progress, parked (waiting for a leader or a lock), queued.",
            {"running": places.running, "parked": places.parked, "queued": places.waiting},
            "state",
        ),
        family(
            "shardrouter_router_places",
            "gauge",
            "How many units may be in progress before others are queued, as found by latency.",
            places.room,
        ),
        family(
            "shardrouter_router_refused_total",
            "counter",
            "Units that were refused with 53300, because they would have been late.",
            places.refused,
        ),
        *process_families(),
    ]
