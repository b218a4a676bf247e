"""Is a history of transactions as isolated as was promised?

Anomalies are Adya's, named as Elle names them: G0 a cycle of overwrites; G1a, G1b, G1c reads of
what was taken back, of what was not final, cycles of information; G-single one with a single
anti-dependency, G-nonadjacent one whose anti-dependencies do not follow each other, G2 any other.
A name with -process or -realtime needs the order in which a process, or the clock, saw them.

`valid` says that no anomaly was found which the promised isolation forbids: the cycles are all
found, as far as the versions' order could be inferred from what clients read.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Iterator, Sequence
from types import ModuleType
from typing import Any, Final

from jepsen_like.checks.cycles import (
    KIND_NAMES,
    ONWARD,
    PROCESS,
    REALTIME,
    RW,
    WR,
    WW,
    Edge,
    Graph,
    Search,
    components,
)
from jepsen_like.checks.transactions import list_append, rw_register
from jepsen_like.checks.transactions.time_order import add_time_order, in_no_order
from jepsen_like.checks.transactions.transaction import (
    Anomaly,
    CycleEdge,
    Transaction,
    Transactions,
    transactions,
)
from jepsen_like.history import Operation
from jepsen_like.history.collector import paused_collector
from jepsen_like.result import Verdict

__all__ = ["CONSISTENCIES", "check"]

_COMMITTED: Final = (
    "G0", "G1a", "G1b", "G1c", "garbage-read", "duplicate-elements", "duplicate-append",
    "duplicate-write", "incompatible-order", "cyclic-versions",
)  # fmt: skip
_SNAPSHOT: Final = (*_COMMITTED, "internal", "lost-update", "G-single", "G-nonadjacent")
_SERIALIZABLE: Final = (*_SNAPSHOT, "G2")
_CYCLES: Final = ("G0", "G1c", "G-single", "G-nonadjacent", "G2")

FORBIDDEN: Final[dict[str, frozenset[str]]] = {
    "strict-serializable": frozenset(
        (
            *_SERIALIZABLE,
            *(f"{cycle}-{order}" for cycle in _CYCLES for order in ("process", "realtime")),
            "cycle",
        )
    ),
    "strong-session-serializable": frozenset(
        (*_SERIALIZABLE, *(f"{cycle}-process" for cycle in _CYCLES))
    ),
    "serializable": frozenset(_SERIALIZABLE),
    "snapshot-isolation": frozenset(_SNAPSHOT),
    "read-committed": frozenset(_COMMITTED),
}
CONSISTENCIES: Final = tuple(FORBIDDEN)  # the strictest first

WRITE_SKEW: Final = "write-skew"
"""Asked for by itself: none of two transactions saw what the other wrote, to different keys."""

_IS_BAD_WORKLOAD: Final = frozenset({"duplicate-append", "duplicate-write"})
_CYCLES_SOUGHT: Final = (
    # (name, kinds of the first edge, of the others, anti-dependencies apart, not if there is)
    ("G0", (WW,), (WW,), False, ()),
    ("G1c", (WR,), (WW, WR), False, ()),
    ("G-single", (RW,), (WW, WR), False, ()),
    ("G-nonadjacent", (RW,), (WW, WR, RW), True, ("G-single",)),
    ("G2", (RW,), (WW, WR, RW), False, ("G-single", "G-nonadjacent")),
)
UNCLASSIFIED: Final = "cycle"
"""There is a cycle, and finding out of which kind took too long."""

COMPONENTS_MAX: Final = 200  # looked into for cycles; each is proof enough
SHOWN_PER_NAME: Final = 3
STEPS_SHOWN: Final = 12
LIST_CHARACTERS: Final = 60


def check(
    history: Iterable[Operation], workload: str, consistency: str = CONSISTENCIES[0]
) -> Verdict:
    """The verdict on `list-append` or `rw-register` transactions. Never raises: see `unknown`.

    `consistency`: one of CONSISTENCIES, or WRITE_SKEW alone.

    `details`: `anomalies` counts all by name, whether forbidden or not; `holds` is the strictest
    isolation that nothing contradicts; `anomalies_in_words` tells the forbidden ones.
    """
    with paused_collector():  # a check makes millions of tuples and no cycle
        return _check(history, workload, consistency)


def _check(history: Iterable[Operation], workload: str, consistency: str) -> Verdict:
    judge: ModuleType = {"list-append": list_append, "rw-register": rw_register}[workload]
    try:
        found = transactions(history, judge.WRITES)
        graph = Graph(len(found))
        anomalies = judge.infer(found, graph)
        anomalies += _cycles(graph, found, judge)
        forbidden = FORBIDDEN.get(consistency)
        if forbidden is None:
            anomalies += _write_skew(graph, found, judge)
            forbidden = frozenset({WRITE_SKEW, *_IS_BAD_WORKLOAD})
    except Exception as exc:  # a broken operation must not look like a verdict
        reason = f"the checker crashed: {type(exc).__name__}: {exc}"
        return Verdict(consistency, "unknown", reason, details={"trace": traceback.format_exc()})
    counts: dict[str, int] = {}
    for anomaly in anomalies:
        counts[anomaly.name] = counts.get(anomaly.name, 0) + 1
    holds = next((c for c in CONSISTENCIES if not FORBIDDEN[c] & counts.keys()), None)
    details: dict[str, Any] = {"anomalies": counts, "holds": holds}
    judged = sum(transaction.outcome == "ok" for transaction in found)
    broken = [a for a in anomalies if a.name in forbidden]
    if not broken and UNCLASSIFIED in counts and consistency != WRITE_SKEW:
        reason = "there are cycles of transactions, too large to tell of which kind"
        return Verdict(consistency, "unknown", reason, len(found), details=details)
    if not broken:
        reason = f"nothing that {judged} transactions saw contradicts {consistency}"
        if counts:
            reason += f" (it allows what was found: {', '.join(counts)})"
        return Verdict(consistency, "valid", reason, len(found), details=details)
    shown = [
        a
        for name in dict.fromkeys(a.name for a in broken)
        for a in [b for b in broken if b.name == name][:SHOWN_PER_NAME]
    ]
    details["anomalies_in_words"] = [_in_words(anomaly, found) for anomaly in shown]
    details["cycles"] = [_as_cycle(anomaly, found) for anomaly in shown if anomaly.edges]
    offending = tuple(found[i].operation for i in shown[0].shown)
    if {a.name for a in broken} <= _IS_BAD_WORKLOAD:
        reason = f"the versions cannot be told apart: {shown[0].sentence}"
        return Verdict(consistency, "unknown", reason, len(found), offending, details)
    worst = next(a for a in shown if a.name not in _IS_BAD_WORKLOAD)
    offending = tuple(found[i].operation for i in worst.shown)
    weaker = f"; at most {holds} holds" if holds else ""
    reason = f"{worst.name}: {worst.sentence}{weaker}"
    return Verdict(consistency, "invalid", reason, len(found), offending, details)


def _cycles(graph: Graph, found: Transactions, judge: ModuleType) -> list[Anomaly]:
    """The shortest cycle of every kind in every component."""
    doubtful = in_no_order(graph, found)
    if not doubtful:
        return []
    graph = graph.within(frozenset(doubtful))
    add_time_order(graph, found, [node for node in doubtful if node < graph.transactions])
    anomalies = []
    for members in components(graph.nodes, graph.source, graph.target)[:COMPONENTS_MAX]:
        search = Search(graph, members)
        # What is there without the clock is no news with it; and whatever forbids a cycle of
        # several anti-dependencies forbids one of a single one.
        named: set[str] = set()
        for order, more in (("", ()), ("-process", (PROCESS,)), ("-realtime", (REALTIME,))):
            for name, first, rest, apart, simpler in _CYCLES_SOUGHT:
                if named & {name, *simpler}:
                    continue
                cycle = search.cycle(first, (*rest, *more), apart=apart)
                if cycle is not None:
                    edges = _collapsed(cycle, graph.transactions)
                    anomalies.append(_as_anomaly(name + order, edges, found, judge))
                    named.add(name)
        if not named:
            shown = tuple(i for i in members if i < graph.transactions)[:STEPS_SHOWN]
            sentence = f"{len(members)} transactions must each come before the others"
            anomalies.append(Anomaly(UNCLASSIFIED, sentence, shown))
    return anomalies


def _write_skew(graph: Graph, found: Transactions, judge: ModuleType) -> Iterator[Anomaly]:
    """Pairs with an anti-dependency each way, on two keys: on one key it is a lost update.

    Looked for by itself, since the search for cycles is content with a worse anomaly.
    """
    after: dict[int, dict[int, Any]] = {}  # reader -> who overwrote, with the key
    beyond: dict[int, list[int]] = {}  # from a point on
    for source, target, kind in zip(graph.source, graph.target, graph.kind, strict=True):
        if kind == ONWARD:
            beyond.setdefault(source, []).append(target)
    edges = zip(graph.source, graph.target, graph.kind, graph.key, strict=True)
    for source, target, kind, key in edges:
        if kind == RW:
            mine = after.setdefault(source, {})
            for writer in (target,) if target < graph.transactions else beyond.get(target, ()):
                mine.setdefault(writer, key)
    for one, overwriters in after.items():
        for other, key in overwriters.items():
            back = after.get(other, {}).get(one)
            if one < other and back is not None and back != key:
                cycle = [Edge(one, other, RW, key), Edge(other, one, RW, back)]
                yield _as_anomaly(WRITE_SKEW, cycle, found, judge)


def _collapsed(cycle: Sequence[Edge], transactions_end: int) -> list[Edge]:
    """The cycle through transactions only: an edge to a point and those on from it are one."""
    edges: list[Edge] = []
    at_point = False
    for edge in cycle:
        if at_point:
            edges[-1] = edges[-1]._replace(target=edge.target)
        else:
            edges.append(edge)
        at_point = edge.target >= transactions_end
    return edges


def _as_anomaly(
    name: str, cycle: Sequence[Edge], found: Transactions, judge: ModuleType
) -> Anomaly:
    order = tuple(dict.fromkeys(edge.source for edge in cycle))
    names = {i: f"T{n}" for n, i in enumerate(order, 1)}
    drawn = names[order[0]]
    edges = []
    for edge in cycle:
        label = KIND_NAMES[edge.kind] + ("" if edge.key is None else f" {edge.key}")
        drawn += f" -({label})-> {names[edge.target]}"
        a, b = names[edge.source], names[edge.target]
        if edge.kind == REALTIME:
            sentence = f"{a} was over before {b} was sent"
        elif edge.kind == PROCESS:
            process = found[edge.source].operation.process
            sentence = f"process {process} asked for {a} and then for {b}"
        else:
            sentence = judge.tell(edge, names, found)
        edges.append(CycleEdge(order.index(edge.source), order.index(edge.target), label, sentence))
    told = "; ".join(edge.sentence for edge in edges)
    return Anomaly(name, told, order, drawn, tuple(edges))


def _in_words(anomaly: Anomaly, found: Transactions) -> str:
    """A paragraph: the name, the cycle, its transactions, a sentence for each edge."""
    lines = [f"{anomaly.name}{': ' + anomaly.drawn if anomaly.drawn else ''}"]
    lines += [f"  T{n} is {_told(found[i])}" for n, i in enumerate(anomaly.shown, 1)]
    lines += [f"  - {sentence}" for sentence in anomaly.sentence.split("; ")]
    return "\n".join(lines)


def _as_cycle(anomaly: Anomaly, found: Transactions) -> dict[str, Any]:
    """For `Verdict.details`: what JSON can hold."""
    return {
        "name": anomaly.name,
        "transactions": [_told(found[i]) for i in anomaly.shown],
        "edges": [edge._asdict() for edge in anomaly.edges],
    }


def _told(transaction: Transaction) -> str:
    steps = []
    for what, key, value in transaction.steps[:STEPS_SHOWN]:
        shown = str(list(value) if isinstance(value, tuple) else value)
        if len(shown) > LIST_CHARACTERS:
            shown = f"{shown[: LIST_CHARACTERS // 2]} ... {shown[-LIST_CHARACTERS // 2 :]}"
        steps.append(f"read {key} -> {shown}" if what == "r" else f"{what} {key} {shown}")
    if len(transaction.steps) > STEPS_SHOWN:
        steps.append("...")
    unsure = "" if transaction.outcome == "ok" else f" ({transaction.outcome})"
    return f"process {transaction.operation.process}: {', '.join(steps)}{unsure}"
