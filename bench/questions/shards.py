"""What more shards cost: replicated writes by key over 1, 8 and 32 shards of the same three nodes.

All shards share the nodes, and the machine: nothing can become faster here. What is asked is what a
write takes when its neighbours in time are of other groups.
"""

from __future__ import annotations

from typing import Final
from urllib.request import urlopen

import msgspec

from bench.contestants import Started, ours
from bench.question import Answer, Question, Setting, against
from bench.questions.writes import named
from bench.runs import Figures, fill, python_client
from bench.turns import Entry, in_turns
from nodes.metrics import read_exposition

SHARDS: Final = (1, 8, 32)
CLIENTS: Final = (64, 256)
CPU_RATIO: Final = 2.0
PAGE_S: Final = 10.0
_APPLIED: Final = "shardrouter_raft_applied_index"
_COMMITS: Final = "shardrouter_log_fsync_seconds_count"


def _logged(started: Started) -> tuple[float, float]:
    """(entries of logs, COMMITs of them with an fsync), of all groups and nodes, until now."""
    entries = commits = 0.0
    for url in started.pages:
        with urlopen(url, timeout=PAGE_S) as page:
            samples = read_exposition(page.read().decode())
        entries += sum(n for (name, _), n in samples.items() if name == _APPLIED)
        commits += sum(n for (name, _), n in samples.items() if name == _COMMITS)
    return entries, commits


def of_shards(count: int) -> str:
    return f"{count} shard{'s' if count > 1 else ''}"


async def measure(setting: Setting) -> Answer:
    async def run(started: Started, case: str) -> Figures:
        length, warm_up = str(setting.run_s), str(setting.warm_up_s)
        words = (started.address, "insert", case.split()[0], length, "0", warm_up)
        seen: list[tuple[float, float]] = []
        found = await python_client(
            *(started, setting, "bench.load", *words), at_ends=lambda: seen.append(_logged(started))
        )
        before, after = seen
        entries, commits = (max(now - then, 1.0) for then, now in zip(before, after, strict=True))
        writes = found["per_second"] * setting.run_s * len(started.pages)  # each has all of them
        return found | {"entry_writes": writes / entries, "commit_entries": entries / commits}

    async def prepare(started: Started) -> None:
        await fill(started.address, 0)

    entries = [Entry(of_shards(n), ours(n, of_shards(n), metrics=True), run) for n in SHARDS]
    answer = await in_turns(setting, entries, [named(n) for n in CLIENTS], prepare)
    verdicts = [
        verdict
        for case in map(named, CLIENTS)
        for verdict in against(
            answer.lines, f"CPU of a write at {SHARDS[-1]} shards, of that at 1, {case}", "cpu_us",
            (of_shards(SHARDS[-1]), case), (of_shards(1), case), "<=", CPU_RATIO,
        )
    ]  # fmt: skip
    return msgspec.structs.replace(answer, verdicts=verdicts)


QUESTION: Final = Question(
    "shards",
    "What does a write take when there are many shards on the same nodes?",
    "cpu_us",
    measure,
)
