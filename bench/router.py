"""What the router itself takes: finding the shard, planning, moving slots.

    python -m bench.router

Everything is a computation without a cluster, on a catalog in memory: the best hundredth of many
repetitions counts, which other work on the machine hardly touches.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, Final

import click

from bench.machine import commit, machine
from nodes.collector import settle_collector
from nodes.values import SLOTS, slot_finder
from shardrouter.catalog import Catalog, Column, Table
from shardrouter.execution import Execution, Prepared, command_of
from shardrouter.placement import assign_slots, reassign
from shardrouter.plan import make_plan, parameter_oids, result_columns
from shardrouter.planned import OneShard

__all__ = ["TARGETS", "measure"]

TARGETS: Final = {
    "slot_lookup_us": 0.3,
    "cached_plan_us": 3.0,
    "join_of_five_us": 5_000.0,
    "join_over_shards_us": 5_000.0,
    "shard_more_at_1000_s": 1.0,
}
"""At most."""

_NAMES: Final = ("t1", "t2", "t3", "t4", "t5")
_POINT: Final = "SELECT val FROM t1 WHERE id = $1"
_JOIN: Final = """
SELECT a.val, b.val, c.val, d.val, count(*) AS n
FROM t1 a
JOIN t2 b ON b.id = a.id
JOIN t3 c ON c.id = b.id
JOIN t4 d ON d.id = c.id
LEFT JOIN t5 e ON e.id = d.id AND e.val <> 'x'
WHERE a.id = $1 AND (c.val LIKE 'a%' OR d.val IS NULL)
GROUP BY a.val, b.val, c.val, d.val
HAVING count(*) > 1
ORDER BY n DESC, a.val
LIMIT 10
"""
_OVER_SHARDS: Final = _JOIN.replace("b.id = a.id", "b.val = a.val").replace("a.id = $1 AND", "")
"""No shard can answer it alone: it is understood twice."""


def _catalog(shards: int) -> Catalog:
    columns = (Column("id", "bigint", True), Column("val", "text"))
    tables = {
        name: Table(name, 1, columns, ("id",), "id") for name in ("t1", "t2", "t3", "t4", "t5")
    }
    names = tuple(f"shard-{n}" for n in range(1, shards + 1))
    return Catalog(1, tables, names, assign_slots(names), (1,) * SLOTS, names[0])


def _best_us(work: Callable[[], object], times: int) -> float:
    """Microseconds: the best hundredth of that many."""
    took = []
    for _ in range(times):
        began = time.perf_counter_ns()
        work()
        took.append(time.perf_counter_ns() - began)
    return sorted(took)[times // 100] / 1000


def measure(repeat: int = 2000) -> dict[str, float]:
    """Each figure once, by the names of `TARGETS`."""
    catalog = _catalog(8)
    find = slot_finder("bigint")
    keys = range(1000)

    def thousand_lookups() -> None:  # as `command_of` does it
        for key in keys:
            slot = find(key)
            _ = catalog.owned.get(slot) or catalog.owner(slot)

    plan = make_plan(_POINT, catalog)
    assert isinstance(plan, OneShard)
    prepared = Prepared(_POINT, plan, parameter_oids(plan), result_columns(plan))
    execution = Execution(prepared, (7,), (True,))

    def cached() -> None:
        for _ in range(100):
            command_of(plan, execution, catalog)

    names = [f"shard-{n}" for n in range(1000)]
    before = assign_slots(names)
    began = time.perf_counter()
    reassign(before, names, [*names, "shard-1000"])
    more_s = time.perf_counter() - began
    return {
        "slot_lookup_us": round(_best_us(thousand_lookups, max(1, repeat // 20)) / 1000, 3),
        "cached_plan_us": round(_best_us(cached, max(1, repeat // 5)) / 100, 2),
        "join_of_five_us": round(_best_us(lambda: make_plan(_JOIN, catalog), max(1, repeat // 10))),
        "join_over_shards_us": round(
            _best_us(lambda: make_plan(_OVER_SHARDS, catalog), max(1, repeat // 10))
        ),
        "shard_more_at_1000_s": round(more_s, 3),
    }


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One line of JSON.")
def main(as_json: bool) -> None:
    settle_collector()  # as a router does
    figures = measure()
    if as_json:
        about: dict[str, Any] = {"commit": commit(), **machine()}
        click.echo(json.dumps(about | figures))
        return
    for name, figure in figures.items():
        kept = "met" if figure <= TARGETS[name] else "missed"
        click.echo(f"{name:<22} {figure:>10}   at most {TARGETS[name]:g}: {kept}")


if __name__ == "__main__":
    main()
