"""What is simulated is what runs: the modules that real processes load, a simulation loads too, and
what it puts in the place of others is a list."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from jepsen_like import Test, checks, faults, load, workloads
from jepsen_like.adapters.shardrouter import ShardRouter
from jepsen_like.runner import run

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.processes]

LISTING = str(Path(__file__).with_name("listing_program.py"))

OF_PROCESSES_ALONE = {"uvloop"}
"""Packages that real processes load, and no simulation: the loop is `jepsen_like.sim.loop`."""

SHIMS = {
    "os.fsync",
    "os.getpid",
    "os.urandom",
    "random.Random",
    "sqlite3.connect",
    "time.clock_gettime",
    "time.clock_gettime_ns",
    "time.monotonic",
    "time.monotonic_ns",
    "time.perf_counter",
    "time.perf_counter_ns",
    "time.sleep",
    "time.time",
    "time.time_ns",
}
"""What a simulation replaces in the standard library's modules; besides, of aiosqlite its queue and
thread, and of pools `submit` and `shutdown`."""

IN_A_SIMULATION = """
import json, sys, os, random, sqlite3, time, signal
looked_at = {"os": os, "random": random, "sqlite3": sqlite3, "time": time}
before = {name: dict(vars(module)) for name, module in looked_at.items()}
from jepsen_like.kernel import replace_kernel
from jepsen_like.sim.kernel import SimulatedKernel
replace_kernel(SimulatedKernel())
replaced = sorted(
    f"{name}.{each}"
    for name, module in looked_at.items()
    for each, value in vars(module).items()
    if before[name].get(each) is not value and not each.startswith("_")
)
from pathlib import Path
from jepsen_like.sim.one_seed import carry_out
from tests.process.test_simulated_modules import modules_test
found, _ = carry_out(modules_test(), "", 1, None, Path(sys.argv[1]), 600.0)
print(json.dumps({"replaced": replaced, "modules": sorted(sys.modules), "verdict": found.verdict}))
"""


def modules_test(directory: Path | None = None) -> Test:
    """A short one, of every kind of process."""
    own = ShardRouter(nodes=3, shards=2, replicas=3, snapshot=True)
    if directory is not None:
        listing = (sys.executable, LISTING, str(directory))
        own = replace(
            own,
            node_command=(*listing, "nodes"),
            router_command=(*listing, "shardrouter.cli"),
        )
    return Test(
        name="modules",
        db=own,
        workloads=[workloads.bank(keys=1, over_shards=True), workloads.register(keys=2)],
        load=load.open_loop(rate=20, deadline="2s", clients=2),
        faults=[faults.healthy("2s")],
        checks=[checks.linearizable(), checks.total_kept()],
        backend="proxy",
    )


def is_foreign(name: str) -> bool:
    """No module of the standard library, nor of the harness."""
    first = name.partition(".")[0]
    return first not in sys.stdlib_module_names and first not in (
        "jepsen_like",
        "tests",
        "__mp_main__",
    )


def test_a_simulation_loads_what_real_processes_load(tmp_path: Path) -> None:
    names = tmp_path / "names"
    names.mkdir()
    result = run(modules_test(names), out=tmp_path / "real", seed=1)
    assert result.validity == "valid"
    real = {line for file in names.iterdir() for line in file.read_text().splitlines()}
    assert {file.name.partition("-")[0] for file in names.iterdir()} == {"nodes", "shardrouter.cli"}

    done = subprocess.run(
        [sys.executable, "-c", IN_A_SIMULATION, str(tmp_path / "simulated")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["verdict"] == "valid"
    missing = {name for name in real if is_foreign(name)} - set(found["modules"])
    assert {name.partition(".")[0] for name in missing} <= OF_PROCESSES_ALONE
    assert set(found["replaced"]) == SHIMS
