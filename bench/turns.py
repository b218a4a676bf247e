"""Contestants in turns, A B A B: whatever else the machine does meets all of them alike.

All of a question's contestants are started first, each in a directory of its own, and run until
its last round is over, but for those that are restless; one that is not installed is left out, and
the answer says so.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.contestants import Contestant, Started
from bench.question import Answer, Line, Setting, line_of
from bench.runs import Figures, RunFailed

__all__ = ["Entry", "in_turns", "nothing"]

RUN_MAX_S: Final = 300.0
"""A million rows of COPY on a busy machine take a third of it."""

_TRIES: Final = 2
"""Of one run; on a busy machine a leader may lose its office."""


@dataclass(frozen=True)
class Entry:
    """One row of each case: a contestant and the client that asks it."""

    name: str
    contestant: Contestant
    run: Callable[[Started, str], Awaitable[Figures]]
    """One run of a case."""
    cases: Sequence[str] = ()
    """Those that it takes part in; empty: all."""

    def takes(self, case: str) -> bool:
        return not self.cases or case in self.cases


async def nothing(_started: Started) -> None:
    """What a contestant needs before its first run: nothing."""


async def in_turns(
    setting: Setting,
    entries: Sequence[Entry],
    cases: Sequence[str],
    prepare: Callable[[Started], Awaitable[None]] = nothing,
) -> Answer:
    """An answer without verdicts. A run that fails twice is left out, and among the missing."""
    everyone = list(dict.fromkeys(entry.contestant for entry in entries))
    missing = {c.name: said for c in everyone if (said := c.missing())}
    taking_part = [entry for entry in entries if entry.contestant.name not in missing]
    runs: dict[tuple[str, str], list[Figures]] = {}
    async with AsyncExitStack() as stack:
        running: dict[str, Started] = {}
        for contestant in everyone:
            if contestant.name in missing:
                setting.say(f"without {contestant.name}: {missing[contestant.name]}")
            elif not contestant.is_restless:
                setting.say(f"{contestant.name} starts")
                starting = _started(setting, contestant, prepare)
                try:
                    running[contestant.name] = await stack.enter_async_context(starting)
                except (OSError, RuntimeError, RunFailed) as exc:
                    if contestant is everyone[0]:  # whom the question is about
                        raise
                    missing[contestant.name] = f"it did not start: {exc}"
                    setting.say(f"without {contestant.name}: {missing[contestant.name]}")
        taking_part = [entry for entry in taking_part if entry.contestant.name not in missing]
        total = setting.rounds * len([0 for e in taking_part for c in cases if e.takes(c)])
        count = 0
        for number in range(setting.rounds):
            for case in cases:
                for entry in taking_part:
                    if not entry.takes(case):
                        continue
                    count += 1
                    try:
                        figures = await _one(setting, entry, running, case, prepare)
                    except RunFailed as exc:
                        missing[f"{entry.name}, {case}, round {number + 1}"] = str(exc)
                        setting.say(f"{entry.name}, {case}: {exc}; left out")
                        continue
                    runs.setdefault((entry.name, case), []).append(figures)
                    setting.say(
                        f"{count}/{total}: round {number + 1}, {case}, {entry.name}: "
                        f"{figures['per_second']:.0f}/s, {figures['cpu_us']:.0f} us of CPU"
                    )
    lines: list[Line] = [
        line_of(entry.name, case, runs[entry.name, case], entry.contestant.fsynced)
        for case in cases
        for entry in taking_part
        if (entry.name, case) in runs
    ]
    return Answer(lines, [], {c.name: c.durability for c in everyone}, missing)


@asynccontextmanager
async def _started(
    setting: Setting, contestant: Contestant, prepare: Callable[[Started], Awaitable[None]]
) -> AsyncIterator[Started]:
    directory = Path(tempfile.mkdtemp(prefix="contestant-", dir=setting.directory))
    async with contestant.start(directory) as started:
        await prepare(started)
        yield started


async def _one(
    setting: Setting,
    entry: Entry,
    running: Mapping[str, Started],
    case: str,
    prepare: Callable[[Started], Awaitable[None]],
) -> Figures:
    for left in reversed(range(_TRIES)):
        try:
            async with asyncio.timeout(RUN_MAX_S):
                if entry.contestant.name in running:
                    return await entry.run(running[entry.contestant.name], case)
                async with _started(setting, entry.contestant, prepare) as started:
                    return await entry.run(started, case)
        except (RunFailed, TimeoutError) as exc:
            why = str(exc) or f"not over after {RUN_MAX_S:g} s"
            if not left:
                raise RunFailed(why) from exc
            setting.say(f"{entry.name}, {case}: {why}; once more")
    raise AssertionError("the last try returns or raises")
