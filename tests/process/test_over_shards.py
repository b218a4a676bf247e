"""Transactions over shards under the harness: nodes that keep their rules are acquitted, and nodes
that keep one less are convicted.

Each experiment leads where a rule is needed, and is made with nodes and routers that keep all of
them too. That a lost token of a session is found says `test_promises_of_levels`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from jepsen_like import Test, checks, faults, leader_of, load, workloads
from jepsen_like.adapters.shardrouter import ShardRouter
from jepsen_like.result import Verdict
from jepsen_like.runner import run
from tests.process.directed_workloads import Peeks, Replaced

pytestmark = [pytest.mark.slow, pytest.mark.long]

HERE = Path(__file__).parent


def node(rule: str, late: str = "100") -> tuple[str, ...]:
    return (sys.executable, str(HERE / "broken_two_phase_node.py"), rule, late)


ROUTERS = {
    "intact": (sys.executable, "-m", "shardrouter.cli"),
    "definite": (sys.executable, str(HERE / "definite_router.py")),
}


def contended(rule: str) -> Test:
    """Everybody wants the same few rows, and reads them right after they were written."""
    return Test(
        name="contended",
        db=ShardRouter(nodes=1, shards=3, replicas=1, node_command=node(rule)),
        workloads=[
            workloads.append(keys=1, over_shards=True),
            workloads.write_skew(keys=1, over_shards=True),
            Peeks(2, 400, over_shards=True, name="peeks"),
        ],
        load=load.open_loop(rate=90, deadline="2s", clients=50),
        faults=[faults.healthy("5s")],
        checks=[checks.strict_serializable()],
    )


def decided_in_a_cut(rule: str) -> Test:
    """A participant is cut off for longer than a router tells it the outcome, and those who decided
    are killed meanwhile."""
    return Test(
        name="decided-in-a-cut",
        db=ShardRouter(nodes=3, shards=3, replicas=1, node_command=node(rule, "250")),
        workloads=[Peeks(12, 400, over_shards=True, name="peeks")],
        load=load.open_loop(rate=60, deadline="1s", clients=50),
        faults=[
            faults.healthy("2s"),
            faults.together(
                faults.partition(faults.isolate(leader_of("shard-2")), hold="7s", rest="3s"),
                faults.kill(leader_of("shard-1"), hold="1s", rest="0s"),
                faults.kill(leader_of("shard-3"), hold="1s", rest="0s"),
            ),
        ],
        checks=[checks.strict_serializable()],
    )


def tables_replaced(rule: str) -> Test:
    """Tables of one name follow one another on other shards, which two routers of three learn when
    they ask."""
    return Test(
        name="tables-replaced",
        db=ShardRouter(nodes=3, shards=3, replicas=1, node_command=node(rule)),
        workloads=[Replaced(4, 25, name="replaced")],
        load=load.open_loop(rate=30, deadline="4s", clients=40),
        faults=[faults.healthy("10s")],
        checks=[checks.linearizable()],
    )


def times_out(rule: str) -> Test:
    """A leader stands still for longer than its clients wait, and then does what it was told."""
    return Test(
        name="times-out",
        db=ShardRouter(nodes=1, shards=3, replicas=1, router_command=ROUTERS[rule]),
        workloads=[workloads.register(keys=6)],
        load=load.open_loop(rate=40, deadline="500ms", clients=40),
        faults=[faults.healthy("1s"), faults.pause("n1", hold="1500ms", rest="1s")],
        checks=[checks.linearizable()],
    )


@pytest.mark.parametrize(
    ("experiment", "rule", "finding", "runs"),
    [
        (contended, "intact", "", 1),
        (contended, "locks", "lost-update|G-single", 1),
        (contended, "reads", "realtime", 1),
        (times_out, "intact", "", 1),
        (times_out, "definite", "nobody had written", 1),
        pytest.param(decided_in_a_cut, "intact", "", 1, marks=pytest.mark.nightly),
        pytest.param(decided_in_a_cut, "decisions", "", 4, marks=pytest.mark.nightly),
        pytest.param(tables_replaced, "intact", "", 1, marks=pytest.mark.nightly),
        pytest.param(tables_replaced, "plans", "", 4, marks=pytest.mark.nightly),
    ],
)
def test_who_breaks_a_rule_is_convicted(
    tmp_path: Path, experiment: Callable[[str], Test], rule: str, finding: str, runs: int
) -> None:
    """In one of so many runs: whether a transaction is under way as its shard is cut off, and
    whether a router reads the catalog for another reason, are matters of chance."""
    found: list[Verdict] = []
    for seed in range(1, runs + 1):
        result = run(experiment(rule), out=tmp_path / str(seed), seed=seed)
        judged = [v for v in result.verdicts if v.check in ("strict serializable", "linearizable")]
        assert all(v.operations > 10 for v in judged), result.verdicts
        found += [v for v in judged if v.validity == "invalid"]
        if found:
            break
    if rule == "intact":
        assert not found, found
        assert {v.validity for v in judged} == {"valid"}, judged
    else:
        assert any(re.search(finding, verdict.reason) for verdict in found), found
