"""Contestants in turns, A B A B: whatever else the machine does meets all of them alike.

All of a question's contestants are started first, each in a directory of its own, and run until
its last round is over; one that is not installed is left out, and the answer says so.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

from bench.contestants import Contestant, Started
from bench.question import Answer, Line, Setting, line_of
from bench.runs import Figures, RunFailed

__all__ = ["Entry", "in_turns", "nothing"]

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


async def nothing(_started: Started) -> None:
    """What a contestant needs before its first run: nothing."""


async def in_turns(
    setting: Setting,
    entries: Sequence[Entry],
    cases: Sequence[str],
    prepare: Callable[[Started], Awaitable[None]] = nothing,
) -> Answer:
    """An answer without verdicts. Raises RunFailed if a run fails twice."""
    everyone = list(dict.fromkeys(entry.contestant for entry in entries))
    missing = {c.name: said for c in everyone if (said := c.missing())}
    taking_part = [entry for entry in entries if entry.contestant.name not in missing]
    runs: dict[tuple[str, str], list[Figures]] = {}
    async with AsyncExitStack() as stack:
        running: dict[str, Started] = {}
        for contestant in everyone:
            if contestant.name in missing:
                setting.say(f"without {contestant.name}: {missing[contestant.name]}")
                continue
            directory = setting.directory / contestant.name.replace(" ", "-")
            directory.mkdir()
            started = await stack.enter_async_context(contestant.start(directory))
            running[contestant.name] = started
            await prepare(started)
            setting.say(f"{contestant.name} is ready")
        for number in range(setting.rounds):
            for case in cases:
                for entry in taking_part:
                    if entry.cases and case not in entry.cases:
                        continue
                    figures = await _one(setting, entry, running[entry.contestant.name], case)
                    runs.setdefault((entry.name, case), []).append(figures)
                    setting.say(
                        f"round {number + 1}, {case}, {entry.name}: "
                        f"{figures['per_second']:.0f}/s, {figures['cpu_us']:.0f} us of CPU"
                    )
    lines: list[Line] = [
        line_of(entry.name, case, runs[entry.name, case])
        for case in cases
        for entry in taking_part
        if (entry.name, case) in runs
    ]
    return Answer(lines, [], {c.name: c.durability for c in everyone}, missing)


async def _one(setting: Setting, entry: Entry, started: Started, case: str) -> Figures:
    for left in reversed(range(_TRIES)):
        try:
            return await entry.run(started, case)
        except RunFailed as exc:
            if not left:
                raise
            setting.say(f"{entry.name}, {case}: {exc}; once more")
    raise AssertionError("the last try returns or raises")
