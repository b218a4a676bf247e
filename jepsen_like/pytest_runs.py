"""One run of a test for pytest: carried out, and, if it is not valid, said so that it can be acted
upon: the schedule (shrunk, where it was simulated), the command that repeats it, the report."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final

import pytest

from jepsen_like.backends.abilities import BACKENDS, SIM
from jepsen_like.report.words import headline
from jepsen_like.runner import HarnessError, Interrupted, Unfinished, run
from jepsen_like.schedule import Schedule, planned
from jepsen_like.sim.commands import noted, version_of
from jepsen_like.sim.seeds import SeedError, SeedResult, run_seed
from jepsen_like.sim.shrink_command import in_words
from jepsen_like.sim.shrunk import calls_of, shrink_seed
from jepsen_like.simpler import in_words as schedule_in_words
from jepsen_like.spec import SpecError, Test

if TYPE_CHECKING:
    from jepsen_like.faults.fault import Planned

__all__ = ["Jepsen", "Settings"]

REPORTS: Final = Path("jepsen-runs")


@dataclass(frozen=True)
class Settings:
    node: str
    """pytest's name of the test, with its seed."""
    module: ModuleType
    """Where the test stands, and the Test that it checks."""
    seed: int
    backend: str | None = None
    """In the place of the Test's own."""
    faults: Sequence[Planned] | None = None
    """In the place of the Test's own."""
    shrink_runs: int = 30
    """0: a failing schedule is told as it is."""
    report: Path | None = None
    """Where every report is kept; None: those of what fails, in REPORTS."""


class Jepsen:
    """The fixture."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @property
    def seed(self) -> int:
        return self._settings.seed

    def check(self, test: Test) -> None:
        """Run it; the test fails unless every check says `valid`."""
        settings = self._settings
        backend = settings.backend or test.backend
        if backend not in BACKENDS:
            pytest.fail(f"there is no backend {backend}; there are {', '.join(BACKENDS)}.", False)
        try:
            test = replace(test, backend=backend)
            if settings.faults is not None:
                test = replace(test, faults=settings.faults)
        except SpecError as exc:
            pytest.fail(str(exc), pytrace=False)
        out = (settings.report or REPORTS) / _directory_of(settings.node)
        shutil.rmtree(out, ignore_errors=True)
        said = _simulated(settings, test, out) if backend == SIM else _run(settings, test, out)
        if said:
            pytest.fail("\n".join(said), pytrace=False)
        if settings.report is None:
            shutil.rmtree(out, ignore_errors=True)


def _directory_of(node: str) -> str:
    """Another one for each test and seed, also where several processes run them."""
    return re.sub(r"[^\w.=-]+", "-", node).strip("-")


def _again(settings: Settings, backend: str) -> str:
    words = ["pytest", settings.node, "--jl-seed", str(settings.seed), "--jl-backend", backend]
    return f"again:  {shlex.join(words)}"


# ------------------------------------------------------------------------------ on other backends


def _run(settings: Settings, test: Test, out: Path) -> list[str]:
    """What is wrong, as lines; none if it is valid."""
    again = _again(settings, test.backend)
    try:
        result = run(test, out=out, seed=settings.seed, command=again.split("  ")[1], write=print)
    except Interrupted as exc:
        raise KeyboardInterrupt from exc
    except Unfinished as exc:
        return [f"seed {settings.seed}: unknown: {exc}", again]
    except HarnessError as exc:
        return [f"seed {settings.seed} could not be run: {exc}", again]
    if result.validity == "valid":
        return []
    plan = test.schedule(settings.seed)
    return [
        f"seed {settings.seed}: {result.validity}: {headline(result)}",
        f"the schedule, on {result.backend} (only a simulated one can be shrunk):",
        *(
            f"  {line}"
            for line in schedule_in_words(Schedule(plan, test.load.clients, None, 0), [])
            if "calls" not in line and "order" not in line
        ),
        again,
        f"report: {out}/report.html",
    ]


# ------------------------------------------------------------------------------ simulated


def _simulated(settings: Settings, test: Test, out: Path) -> list[str]:
    """The same of a simulated run, in a process of its own."""
    again = _again(settings, SIM)
    try:
        path, name = _place(settings.module, test)
        drawn = None if settings.faults is None else planned(test, settings.seed)
        result = run_seed(path, name, settings.seed, schedule=drawn, out=out)
        if result.verdict == "valid":
            return []
        result = noted(replace(result, code=version_of((path, name))), out)
        return [*_failed(settings, path, name, result, out), again]
    except SeedError as exc:
        return [f"seed {settings.seed} could not be simulated: {exc}", again]


def _failed(settings: Settings, path: Path, name: str, result: SeedResult, out: Path) -> list[str]:
    words = [f"seed {result.seed}: {result.verdict}: {result.reason}"]
    if result.verdict == "invalid" and settings.shrink_runs:
        try:
            shrunk = shrink_seed(
                path, name, result, out=out / "shrunk", runs=settings.shrink_runs, say=print
            )
        except SeedError as exc:
            words.append(f"its schedule could not be shrunk: {exc}")
        else:
            noted(replace(shrunk.result, code=version_of((path, name))), out / "shrunk")
            return in_words(shrunk)
    if result.schedule is not None:
        calls = calls_of(path, name, result.seed, result.schedule)
        lines = schedule_in_words(result.schedule, calls)
        words += ["the schedule:", *(f"  {line}" for line in lines)]
    return [
        *words,
        f"replay: jepsen-like replay {shlex.quote(str(out))}",
        f"report: {out}/report.html",
    ]


def _place(module: ModuleType, test: Test) -> tuple[Path, str]:
    """The file and the name of the Test: what is simulated is read again in another process.
    Raises SeedError."""
    for name, value in vars(module).items():
        if isinstance(value, Test) and value.name == test.name and module.__file__:
            path = Path(module.__file__)
            return (path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path), name
    raise SeedError(
        f"the test {test.name} has no name in {module.__name__}: what is simulated runs in a "
        "process of its own, which reads it from the file; write NAME = Test(...) outside of "
        "functions, or import it there."
    )
