"""What three times its capacity does to a router: goodput, latency of what is let in, recovery.

3 nodes, 3 shards of 3 replicas, one router, clients in a process of their own
(`bench.overload_clients`) that send prepared SELECTs and UPDATEs of one row, half of each. First
what it can do, in a closed loop; then statements that arrive by chance, whatever became of those
before: at 80 % of that, at three times it, and at 80 % again. Last what it can do now, in the
closed loop that was the best.

The clients pay for what they do on the same cores: their share is shown. What else a machine does
takes from all of them, and not from each phase alike, so beside the rates there is what a second of
CPU time brought (`per_core_s`), with the clients' and without: the share of the peak's that an
overload has of these says what refusing costs, whatever the machine had to give. A tenth of a
second counts as recovered if it has answers, for nearly all that arrived, mostly as quick as
before, and nothing was refused or failed.
"""

from __future__ import annotations

import json
import math
import time
from typing import Any, Final

from bench.clusters import new_config, running_nodes
from bench.contestants import MAJORITY
from bench.costs import CLIENT, Meter
from bench.open_router import ROWS, child, said
from bench.question import Answer, Line, Question, Setting, Verdict, line_of
from bench.runs import costs_each

SHARDS: Final = 3
RECOVERY: Final = "s to recover"
CONNECTIONS: Final = 900
"""These offer the load: each that is refused waits a second for it."""

ACTIVE: Final = (32, 64, 128, 192)
"""Connections of the closed loop: the best of them is the peak. More may be refused."""

FACTOR: Final = 3.0
"""Times the peak."""

OVERLOAD_S: Final = 30.0
CALM_S: Final = 5.0
CALM: Final = 0.8
WINDOW: Final = 5
"""Tenths of a second in which the latencies of a recovery are looked at."""

RECOVERED: Final = 2.0
"""Times the p99 of before: what counts as recovered."""

ANSWERED: Final = 0.9
"""Of what arrives, in a time that counts as recovered."""

EVEN: Final = 0.9
"""Of the cores that the peak had: with fewer a ratio of rates says what else the machine did."""

GOODPUT: Final = 0.8
SLOWER: Final = 3.0
BACK_S: Final = 2.0
MINE: Final = "shardrouter"

Phase = dict[str, Any]


async def phases(setting: Setting, overload_s: float, calm_s: float) -> dict[str, Any]:
    """What each phase had."""
    async with (
        running_nodes(setting.directory, new_config(SHARDS)) as running,
        child("bench.open_router", str(running.path)) as router,
    ):
        port = str(await said(router))
        arguments = ("bench.overload_clients", port, str(CONNECTIONS), str(ROWS))
        async with child(*arguments) as clients:
            await said(clients)
            setting.say(f"{CONNECTIONS} connections are there")
            roots = {"router": router.pid, **running.pids, CLIENT: clients.pid}

            async def phase(name: str, **asked: float) -> Phase:
                assert clients.stdin is not None
                meter, began = Meter(roots), time.monotonic()
                clients.stdin.write(json.dumps(asked).encode() + b"\n")
                found: Phase = await said(clients)
                length, (cost, memory) = time.monotonic() - began, meter.read()
                answers, used = found["per_second"] * asked["seconds"], sum(cost.cpu_s.values())
                found["cores"] = used / length
                found["per_core_s"] = answers / max(0.01, used)
                served = used - cost.cpu_s[CLIENT]
                found["per_core_s_without_clients"] = answers / max(0.01, served)
                found["costs"] = costs_each(cost, memory, round(answers))
                setting.say(f"{name}: {found['per_second']}/s, {found['refused']} refused")
                return found

            async def closed(active: int) -> Phase:
                return await phase(_loop(active), seconds=calm_s, rate=0, active=active)

            loops = [await closed(active) for active in ACTIVE]
            best = max(range(len(loops)), key=lambda place: loops[place]["per_second"])
            peak = loops[best]["per_second"]
            calm = f"at {CALM:.0%} of the peak"
            return {
                "closed": loops,
                "best": best,
                "calm": await phase(calm, seconds=calm_s * 2, rate=CALM * peak),
                "overload": await phase(
                    f"at {FACTOR:g} times the peak", seconds=overload_s, rate=FACTOR * peak
                ),
                "after": await phase(f"{calm} again", seconds=calm_s * 2, rate=CALM * peak),
                "closed_again": await closed(ACTIVE[best]),
            }


def _loop(active: int) -> str:
    return f"a closed loop of {active}"


def recovery_s(found: dict[str, Any]) -> float:
    """When it was as before again, to stay so for a while: nearly all that arrived was answered,
    each tenth of a second had answers, mostly as quick as before, and nothing was refused or
    failed. Infinite: never."""
    limit = RECOVERED * found["calm"]["p99_ms"]
    after = found["after"]
    p99, arrived, answered = (
        after[f"{name}_of_each_tenth"] for name in ("p99_ms", "arrived", "answered")
    )
    unserved = [
        refused + failed
        for refused, failed in zip(
            after["refused_of_each_tenth"], after["failed_of_each_tenth"], strict=True
        )
    ]
    for start in range(len(p99) - WINDOW + 1):
        window = slice(start, start + WINDOW)
        if (
            all(answered[window])
            and not any(unserved[window])
            and sum(answered[window]) >= ANSWERED * sum(arrived[window])
            and sorted(p99[window])[WINDOW // 2] <= limit
        ):
            return start / 10
    return math.inf


def recovery(found: dict[str, Any]) -> Verdict:
    """If it never did, the time in which it was looked at is the least that it takes: JSON has no
    infinity."""
    took, watched = recovery_s(found), len(found["after"]["answered_of_each_tenth"]) / 10
    if math.isfinite(took):
        return Verdict(RECOVERY, took, "<=", BACK_S)
    return Verdict(RECOVERY, max(watched, BACK_S + 0.1), "<=", BACK_S, f"not within {watched:g} s")


def judged(found: dict[str, Any]) -> list[Verdict]:
    """What is asked of an overload, with what was found."""
    best, overload = found["closed"][found["best"]], found["overload"]
    has_less = overload["cores"] < EVEN * best["cores"]
    note = (
        f"the machine gave it {overload['cores']:.2f} cores and the peak {best['cores']:.2f}"
        if has_less
        else ""
    )

    def share(figure: str) -> float:
        return round(float(overload[figure] / max(1, best[figure])), 3)

    slower = overload["p99_ms"] / max(0.01, found["calm"]["p99_ms"])
    return [
        Verdict("goodput of an overload, of the peak", share("per_second"), ">=", GOODPUT, note),
        Verdict("its goodput of a second of CPU", share("per_core_s"), ">=", GOODPUT),
        Verdict(
            "the same without the clients' CPU",
            share("per_core_s_without_clients"),
            ">=",
            GOODPUT,
        ),
        Verdict("p99 of what was let in, times that at 80 %", round(slower, 2), "<=", SLOWER, note),
        recovery(found),
    ]


def _line(name: str, found: Phase) -> Line:
    figures = {
        **{key: float(found[key]) for key in ("per_second", "p50_ms", "p99_ms", "refused")},
        "failed": float(sum(found["failed"].values())),
        "cores": found["cores"],
        "per_core_s": found["per_core_s"],
        **found["costs"],
    }
    return line_of(MINE, name, [figures], MAJORITY)


async def measure(setting: Setting) -> Answer:
    overload_s, calm_s = (2.0, 1.0) if setting.quick else (OVERLOAD_S, CALM_S)
    found = await phases(setting, overload_s, calm_s)
    lines = [
        *(_line(_loop(n), each) for n, each in zip(ACTIVE, found["closed"], strict=True)),
        _line(f"at {CALM:.0%} of the peak", found["calm"]),
        _line(f"at {FACTOR:g} times the peak, for {overload_s:g} s", found["overload"]),
        _line(f"at {CALM:.0%} again", found["after"]),
        _line(f"{_loop(ACTIVE[found['best']])} again", found["closed_again"]),
    ]
    return Answer(lines, judged(found), {MINE: f"{SHARDS} shards of 3 replicas"})


QUESTION: Final = Question(
    "overload",
    "What does a router do with three times as much as it can do?",
    "per_second",
    measure,
)
