"""Does the harness convict stale reads, every time, and only them?

    python -m tests.process.negative_control --runs 20

Runs the same short test on nodes whose leaders answer reads without a quorum (see
`stale_reads_node`) and on nodes as shipped: a leader is cut off, the others elect a new one and
take writes, and reads go on everywhere. The first must be `invalid` and name operations, the
second `valid`, each time. Exits with 1 if one is not.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from jepsen_like import Test, faults, leader_of, load, workloads
from jepsen_like.adapters.shardrouter import ShardRouter
from jepsen_like.result import RunResult
from jepsen_like.runner import run

__all__ = ["control_test", "run_control"]

STALE_NODE = (sys.executable, str(Path(__file__).with_name("stale_reads_node.py")))


def control_test(*, stale: bool) -> Test:
    """Few registers, often written, and a cut that lasts a few elections."""
    db = ShardRouter(nodes=3, shards=1, replicas=3)
    if stale:
        db = ShardRouter(nodes=3, shards=1, replicas=3, node_command=STALE_NODE)
    return Test(
        name="stale-reads" if stale else "as-shipped",
        db=db,
        workloads=[workloads.register(keys=5)],
        load=load.open_loop(rate=90, deadline="500ms", clients=30),
        faults=[
            faults.healthy("500ms"),
            faults.partition(faults.isolate(leader_of("shard-1")), hold="4s", rest="1s"),
        ],
    )


def run_control(*, stale: bool, seed: int, out: Path) -> RunResult:
    return run(control_test(stale=stale), out=out, seed=seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=1)
    options = parser.parse_args()
    right = {True: 0, False: 0}
    for seed in range(options.first_seed, options.first_seed + options.runs):
        for stale in (True, False):
            with tempfile.TemporaryDirectory(prefix="negative-control-") as out:
                result = run_control(stale=stale, seed=seed, out=Path(out))
            offending = sum(len(verdict.offending) for verdict in result.verdicts)
            wanted = "invalid" if stale else "valid"
            good = result.validity == wanted and (offending > 0) == stale
            right[stale] += good
            print(
                f"seed {seed:3}  {'stale reads' if stale else 'as shipped ':11}  "
                f"{result.validity:8} {len(result.operations):5} operations, "
                f"{offending} offending{'' if good else '   <-- wrong'}",
                flush=True,
            )
            if not good:
                for verdict in result.verdicts:
                    print(f"    {verdict.check}: {verdict.validity}: {verdict.reason}")
                for fault in result.faults:
                    print(f"    {fault.name}: {'; '.join(fault.evidence)}")
    print(
        f"stale reads: invalid {right[True]} times of {options.runs}; "
        f"as shipped: valid {right[False]} times of {options.runs}"
    )
    sys.exit(0 if right == {True: options.runs, False: options.runs} else 1)


if __name__ == "__main__":
    main()
