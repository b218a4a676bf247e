"""Where the time of a write and of a read goes, and the least that it could be.

Nodes, a router and a client, each a process: what each takes for an operation, how much of that in
the kernel (system calls, the network, the file system), how much SQLite would take for it alone
(`bench.floor`), and what is left, which is Python. Then the same once more with samples taken
(`bench.sampled`), which cost a little: the flame graphs of the router and of the leader.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from bench.clusters import Running, new_config, router_process, running_nodes
from bench.contestants import Started
from bench.flame import parsed, pruned, without_common_roots
from bench.floor import BATCH, floors
from bench.question import Answer, Line, Question, Setting, line_of
from bench.questions.writes import named
from bench.runs import fill, python_client

ROWS: Final = 10_000
CLIENTS: Final = (1, 64)
KINDS: Final = {"insert": "INSERT", "select": "SELECT"}
REPLICAS: Final = 3
FLOORS: Final = "The least that there is"
SAMPLES_S: Final = 4.0
QUICK_SAMPLES_S: Final = 1.0
WHOLE: Final = ("client_share", "disk_bytes", "wire_bytes", "peak_memory_mb")
"""Figures of a run that are of all processes together."""

WRITTEN_S: Final = 20.0
POLL_S: Final = 0.02


async def measure(setting: Setting) -> Answer:
    least = floors(setting.directory, 50 if setting.quick else 300)
    setting.say("the floor is measured")
    runs: dict[tuple[str, int], list[dict[str, float]]] = {}
    async with _served(setting.directory / "plain") as (_, started):
        for number in range(setting.rounds):
            for kind in KINDS:
                for clients in CLIENTS:
                    figures = await _run(setting, started, kind, clients, setting.run_s)
                    runs.setdefault((kind, clients), []).append(figures)
            setting.say(f"round {number + 1} is over")
    lines: list[Line] = []
    for (kind, clients), found in runs.items():
        lines += _lines(f"{KINDS[kind]}, {named(clients)}", found, _sqlite(kind, clients, least))
    lines += [line_of(what, FLOORS, [figures]) for what, figures in least.items()]
    flames = await _flames(setting)
    return Answer(lines, [], {"shardrouter": f"1 shard of {REPLICAS} replicas"}, flames=flames)


@asynccontextmanager
async def _served(
    directory: Path, samples: Path | None = None
) -> AsyncIterator[tuple[Running, Started]]:
    """Nodes and a router, sampled if `samples` says where to."""
    python = (sys.executable, "-m")
    sampler = () if samples is None else ("bench.sampled", str(samples))
    async with (
        running_nodes(directory, new_config(1), node_command=(*python, *sampler, "nodes")) as nodes,
        router_process(nodes, (*python, *sampler, "shardrouter.cli")) as (dsn, router),
    ):
        await fill(dsn, ROWS)
        leader = (await nodes.cluster.wait_for_leaders())["shard-1"]
        names = ["leader" if name == leader else f"follower {name}" for name in nodes.pids]
        pids = dict(zip(names, nodes.pids.values(), strict=True))
        yield nodes, Started("shardrouter", dsn, {"router": router.pid, **pids})


async def _run(
    setting: Setting,
    started: Started,
    kind: str,
    clients: int,
    seconds: float,
    at_ends: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    words = (kind, str(clients), str(seconds), str(ROWS), str(setting.warm_up_s))
    argv = ("bench.load", started.address, *words)
    return await python_client(started, setting, *argv, at_ends=at_ends)


def _sqlite(kind: str, clients: int, least: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """CPU microseconds of each replica for one operation, if SQLite did it alone."""

    def cpu(begins: str) -> float:
        return next(each["cpu_us"] for what, each in least.items() if what.startswith(begins))

    if kind == "select":
        return {"leader": cpu("a row of a table read")}
    one = clients == 1
    log, rows = (
        cpu(f"a row of a {what}: " if one else f"a row of a {what}, {BATCH}")
        for what in ("log", "table")
    )
    return dict.fromkeys(("leader", "follower"), log + rows)


def _lines(case: str, runs: list[dict[str, float]], sqlite: Mapping[str, float]) -> list[Line]:
    """One for each process, and one for all."""
    whole = [
        {
            "per_second": run["per_second"],
            "p50_ms": run["p50_ms"],
            **_parts(run, "cpu_us", sum(_sqlite_of(name, sqlite) for name in _names(run))),
            **{name: run[name] for name in WHOLE},
        }
        for run in runs
    ]
    lines = [line_of("all processes", case, whole)]
    for name in _names(runs[0]):
        each = [_parts(run, f"cpu_us {name}", _sqlite_of(name, sqlite)) for run in runs]
        lines.append(line_of(name, case, each))
    return lines


def _names(run: Mapping[str, float]) -> list[str]:
    return [name.removeprefix("cpu_us ") for name in run if name.startswith("cpu_us ")]


def _sqlite_of(process: str, sqlite: Mapping[str, float]) -> float:
    return sqlite.get(process.split()[0], 0.0)


def _parts(run: Mapping[str, float], figure: str, sqlite_us: float) -> dict[str, float]:
    """Of SQLite's part some is in the kernel too: it is taken off what Python has, so that this is
    rather too small than too large."""
    cpu, system = run[figure], run[figure.replace("cpu_us", "system_us")]
    return {
        "cpu_us": cpu,
        "system_us": system,
        "sqlite_us": sqlite_us,
        "python_us": max(cpu - system - sqlite_us, 0.0),
    }


async def _flames(setting: Setting) -> dict[str, dict[str, int]]:
    seconds = QUICK_SAMPLES_S if setting.quick else SAMPLES_S
    samples = setting.directory / "samples"
    samples.mkdir()
    found: dict[str, dict[str, int]] = {}
    async with _served(setting.directory / "sampled", samples) as (_, started):
        pids = {name: started.roots[name] for name in ("router", "leader")}

        def begin_or_end() -> None:
            for pid in pids.values():
                os.kill(pid, signal.SIGUSR1)

        for kind, word in KINDS.items():
            await _run(setting, started, kind, CLIENTS[-1], seconds, begin_or_end)
            for name, pid in pids.items():
                path = samples / f"{pid}.folded"
                stacks = parsed(_written(path))
                path.unlink()
                title = f"{name}, {word} of {CLIENTS[-1]} clients"
                found[title] = pruned(without_common_roots(stacks))
                setting.say(f"{title}: {sum(stacks.values())} samples")
    return found


def _written(path: Path) -> str:
    """Once it is there: a process that is woken by a signal writes it."""
    until = time.monotonic() + WRITTEN_S
    while not path.exists():
        if time.monotonic() > until:
            raise RuntimeError(f"no samples in {path}")
        time.sleep(POLL_S)
    return path.read_text()


QUESTION: Final = Question(
    "paths",
    "Where does the time of a write and of a read go, and what is the least that it could be?",
    "cpu_us",
    measure,
    has_ratios=False,
)
