"""How fast the simulation of the whole stack is: `python -m bench.stack_sim`.

Nodes, routers, clients and the harness in one process on virtual time (docs/simulation.md). Seconds
are those of the processor, so that other work on the machine counts little; each run is a fork of
an interpreter that has imported everything, as each seed of `jepsen-like sim` is.

    quiet            five nodes and five routers, and nobody who asks for anything
    busy             five nodes, fifteen clients and RATE commands a second, without faults
    registers        the test of examples/simulation.py
    transactions     the other one of that file

`simulated s/s` is of the time from the first command to the last final read; what comes before
(the start of nodes and routers, the first data, the clients' connections) and after (the judging,
the report) is printed apart, as is what importing takes once for all seeds.
"""

from __future__ import annotations

import cProfile
import gc
import json
import os
import pstats
import statistics
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from rich.console import Console
from rich.table import Table

from bench.machine import commit, machine
from jepsen_like.kernel import replace_kernel
from jepsen_like.sim.kernel import SimulatedKernel

if TYPE_CHECKING:  # at run time they are imported when the clocks have been replaced
    import asyncio

    from jepsen_like.spec import Test

__all__ = ["CASES", "measure"]

CASES: Final = ("quiet", "busy", "registers", "transactions")
TARGETS: Final = {"quiet": 300.0, "busy": 15.0}
"""Simulated seconds per second."""

NODES: Final = 5
CLIENTS_PER_NODE: Final = 3
BUSY_S: Final = 20.0
QUIET_S: Final = 120.0
SETTLE_S: Final = 5.0
"""Groups have fallen quiet by then."""

SHOWN: Final = 40
"""Functions, or kinds of callbacks."""

PHASES: Final = {"backend:": "start", "load:": "run", "final reads:": "run", "judging": "judge"}
"""What the runner says when a part of a run begins."""

Figures = dict[str, float]


class _Marks:
    """CPU seconds by part of a run, as its progress tells them."""

    def __init__(self) -> None:
        self._since, self._part = time.process_time(), "start"
        self.spent: defaultdict[str, float] = defaultdict(float)

    def said(self, line: str) -> None:
        text = line.split(" s  ", 1)[-1]
        part = next((part for word, part in PHASES.items() if text.startswith(word)), None)
        if part is not None:
            self.turn(part)

    def turn(self, part: str) -> None:
        now = time.process_time()
        self.spent[self._part] += now - self._since
        self._since, self._part = now, part


def busy_test(rate: float) -> Test:
    from jepsen_like import Test, checks, faults, load, workloads
    from jepsen_like.adapters.shardrouter import ShardRouter

    return Test(
        name="busy",
        db=ShardRouter(nodes=NODES, shards=1, replicas=NODES),
        workloads=[workloads.register(keys=8)],
        load=load.open_loop(rate=rate, deadline="500ms", clients=CLIENTS_PER_NODE),
        faults=[faults.healthy(f"{BUSY_S:g}s")],
        checks=[checks.linearizable()],
        backend="sim",
    )


def _test_of(case: str, rate: float) -> Test:
    if case == "busy":
        return busy_test(rate)
    from examples import simulation

    return simulation.test if case == "registers" else simulation.transactions


def _run_test(case: str, rate: float, seed: int, out: Path) -> Figures:
    from jepsen_like.runner import run

    marks = _Marks()
    result = run(_test_of(case, rate), out=out, seed=seed, write=marks.said)
    marks.turn("")
    if result.validity != "valid":
        raise click.ClickException(f"{case}, seed {seed}, is {result.validity}.")
    simulated_s = result.duration_ns / 1e9
    return {
        "simulated_s": simulated_s,
        "operations": len(result.operations),
        **{f"{part}_cpu_s": marks.spent[part] for part in ("start", "run", "judge")},
    }


def _run_quiet(kernel: SimulatedKernel, seed: int, out: Path) -> Figures:
    """The database alone, once its groups have fallen quiet."""
    from jepsen_like.adapters.shardrouter import ShardRouter
    from jepsen_like.backends.simulated import SimulatedNetwork
    from jepsen_like.runner import run_async

    db = ShardRouter(nodes=NODES, shards=1, replicas=NODES)
    figures: Figures = {}

    async def stay() -> None:
        import asyncio

        began = time.process_time()
        network = SimulatedNetwork(db.hosts)
        network.run(db.programs())
        running = await db.start(network, out, lambda _: None)
        await asyncio.sleep(SETTLE_S)
        settled = time.process_time()
        await asyncio.sleep(QUIET_S)
        ended = time.process_time()
        await running.stop()
        figures.update(
            simulated_s=QUIET_S,
            operations=0,
            start_cpu_s=settled - began,
            run_cpu_s=ended - settled,
            judge_cpu_s=time.process_time() - ended,
        )

    run_async(stay(), seed)
    return figures


def _carry_out(kernel: SimulatedKernel, case: str, rate: float, seed: int) -> Figures:
    with tempfile.TemporaryDirectory(prefix="stack-sim-") as directory:
        if case == "quiet":
            return _run_quiet(kernel, seed, Path(directory))
        return _run_test(case, rate, seed, Path(directory))


def _in_a_fork(work: Callable[[], Figures]) -> Figures:
    """What `work` returns, done by a child, whose memory is as this one's is now."""
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.write(writing, json.dumps(work()).encode())
            code = 0
        except BaseException as exc:
            click.echo(f"Error: {exc!r}", err=True)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(pid, 0)
    if os.waitstatus_to_exitcode(status):
        raise click.ClickException("a run has failed; what it said is above.")
    found: Figures = json.loads(said)
    return found


def _profiled(work: Callable[[], Figures], order: str) -> Figures:
    """The functions of a run that take most, on standard error."""
    profile = cProfile.Profile(time.process_time)
    figures = profile.runcall(work)
    pstats.Stats(profile, stream=sys.stderr).sort_stats(order).print_stats(SHOWN)
    return figures


def _counted(work: Callable[[], Figures]) -> Figures:
    """The kinds of callbacks of a run, those that ran most often, on standard error."""
    from jepsen_like.sim.loop import SimulationLoop

    seen: Counter[str] = Counter()
    true_run = SimulationLoop._run  # noqa: SLF001 - to count what it runs

    def run(loop: SimulationLoop, handle: asyncio.Handle) -> None:
        seen[_kind_of(handle)] += 1
        true_run(loop, handle)

    SimulationLoop._run = run  # type: ignore[method-assign,assignment]  # noqa: SLF001
    figures = work()
    total_s = figures["simulated_s"]
    click.echo(f"{sum(seen.values()) / total_s:10.1f}  callbacks a simulated second", err=True)
    for kind, count in seen.most_common(SHOWN):
        click.echo(f"{count / total_s:10.1f}  {kind}", err=True)
    return figures


def _kind_of(handle: asyncio.Handle) -> str:
    """What it calls; of a task's step, the coroutine's name."""
    from jepsen_like.sim.processes import CURRENT

    call: Any = handle._callback  # type: ignore[attr-defined]  # noqa: SLF001
    task: Any = getattr(call, "__self__", None)
    process = handle._context.get(CURRENT)  # type: ignore[attr-defined]  # noqa: SLF001
    name = getattr(call, "__qualname__", repr(call))
    if hasattr(task, "get_coro"):
        name = f"task {getattr(task.get_coro(), '__qualname__', task)}"
    return f"{name}  ({'nobody' if process is None else process.name})"


def measure(
    kernel: SimulatedKernel,
    case: str,
    *,
    rate: float,
    runs: int,
    profile: str = "",
    counts: bool = False,
) -> list[Figures]:
    """Of each run, which has its number for a seed. The interpreter must be one that simulates,
    and its kernel `kernel`."""
    found = []
    for seed in range(1, runs + 1):

        def work(seed: int = seed) -> Figures:
            return _carry_out(kernel, case, rate, seed)

        def watched(work: Callable[[], Figures] = work) -> Figures:
            if counts:
                return _counted(work)
            return _profiled(work, profile) if profile else work()

        found.append(_in_a_fork(watched))
    return found


def _summary(runs: list[Figures]) -> Figures:
    rates = [run["simulated_s"] / run["run_cpu_s"] for run in runs]
    middle = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    return {
        **middle,
        "simulated_s_per_s": statistics.median(rates),
        "slowest": min(rates),
        "fastest": max(rates),
    }


@click.command()
@click.option("--case", "cases", type=click.Choice(CASES), multiple=True, help="Only this one.")
@click.option("--runs", default=3, show_default=True, help="Of each; the median counts.")
@click.option("--rate", default=20.0, show_default=True, help="Commands a second when busy.")
@click.option(
    "--profile",
    type=click.Choice(("tottime", "cumulative")),
    default=None,
    help="Also say which functions take most; figures are then of no use.",
)
@click.option("--callbacks", is_flag=True, help="Also say what the loop runs most often.")
@click.option("--json", "is_json", is_flag=True, help="For machines.")
def main(
    cases: tuple[str, ...],
    runs: int,
    rate: float,
    profile: str | None,
    callbacks: bool,
    is_json: bool,
) -> None:
    """Measure simulated seconds per second of the whole stack."""
    if os.environ.get("PYTHONHASHSEED") != "0":  # as equal as two measurements can be
        os.execve(
            sys.executable,
            [sys.executable, "-m", "bench.stack_sim", *sys.argv[1:]],
            os.environ | {"PYTHONHASHSEED": "0"},
        )
    kernel = SimulatedKernel()
    replace_kernel(kernel)
    began = time.process_time()
    import examples.simulation  # noqa: F401 - to know what it takes
    from jepsen_like.adapters.shardrouter_programs import PROGRAMS  # noqa: F401

    import_s = time.process_time() - began
    gc.collect()
    gc.freeze()
    found = {
        case: _summary(
            measure(kernel, case, rate=rate, runs=runs, profile=profile or "", counts=callbacks)
        )
        for case in cases or CASES
    }
    if is_json:
        said = {"commit": commit(), "machine": machine(), "import_cpu_s": import_s, "cases": found}
        click.echo(json.dumps(said, indent=1))
        return
    table = Table(title=f"{commit()}, median of {runs}, busy: {rate:g} commands/s")
    for title in (
        *("case", "simulated s/s", "slowest", "fastest", "target"),
        *("simulated s", "operations", "start, CPU s", "run", "judge"),
    ):
        table.add_column(title, justify="left" if title == "case" else "right")
    for case, figures in found.items():
        target = TARGETS.get(case)
        table.add_row(
            case,
            *(f"{figures[name]:.1f}" for name in ("simulated_s_per_s", "slowest", "fastest")),
            f">= {target:g}" if target else "",
            f"{figures['simulated_s']:.1f}",
            f"{figures['operations']:.0f}",
            *(f"{figures[f'{part}_cpu_s']:.2f}" for part in ("start", "run", "judge")),
        )
    Console().print(table)
    click.echo(
        f"importing, once for all seeds: {import_s:.2f} CPU s; load {os.getloadavg()[0]:.1f}"
    )


if __name__ == "__main__":
    main()
