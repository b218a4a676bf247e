"""The whole stack with one rule less: by which seed is each convicted, and in what simplest run?

    python -m tests.sim.stack_mutant_table [--seeds 200] [--intact 5] [--runs 50] [--minutes 90]
                                           [--resume FILE] [--work DIR] [--out FILE] [NAME ...]

Each mutant is simulated seed after seed until a check is violated; that run's schedule is shrunk,
and the same test with the rule in its place is run with the same seeds, at least `--intact` of
them. Exit code 1 if a mutant was not convicted, its schedule could not be shrunk, or the test
without it is not valid; 2 if the time was over before all was known.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from jepsen_like.sim.commands import version_of
from jepsen_like.sim.seed_result import RECORD, SeedError, read_seed
from jepsen_like.sim.seeds import Simulator, run_seed
from jepsen_like.sim.shrunk import shrink_seed
from tests.sim.stack_mutants import MUTANTS

__all__ = ["FILE", "Limits", "Row", "Shrunk", "find_out", "main", "page"]

FILE: Final = Path("tests/sim/stack_mutants.py")

_HEADER: Final = """# The whole stack with one rule less

`make stack-mutants` takes one rule out of nodes or routers ([tests/sim/stack_mutants.py]\
(../tests/sim/stack_mutants.py)), lets the [simulation](simulation.md) run the whole stack with one
seed after the other until a check is violated, and makes that run's schedule as simple as it can
in at most {runs} runs. Then the same test with the rule in its place runs with the same seeds:
there nothing may be found. What a fault is, and whom it strikes, is drawn from the seed; a
schedule here is the whole run together with the test, so each can be seen again by its command.

Made {day} at {commit} with CPython {python}.

"""


@dataclass
class Shrunk:
    """The simplest schedule that was found."""

    runs: int
    sentence: str
    words: list[str]
    operations: int
    reason: str


@dataclass
class Row:
    """What is known of one mutant."""

    name: str
    seeds: int = 0
    """Tried; the last of them convicted it, if `reason` says why."""
    reason: str = ""
    undecided: dict[int, str] = field(default_factory=dict)
    """Seeds whose run was neither valid nor convicted it, and why."""
    shrunk: Shrunk | None = None
    fault: str = ""
    """Why it could not be shrunk."""
    intact: dict[str, int] = field(default_factory=dict)
    """Verdicts on the same test with the rule in its place."""
    intact_reasons: dict[int, str] = field(default_factory=dict)

    @property
    def intact_seeds(self) -> int:
        return sum(self.intact.values())

    @property
    def is_as_it_should_be(self) -> bool:
        return self.shrunk is not None and set(self.intact) == {"valid"}

    @staticmethod
    def from_data(data: Mapping[str, Any]) -> Row:
        row = Row(**data)
        row.undecided = {int(seed): why for seed, why in row.undecided.items()}
        row.intact_reasons = {int(seed): why for seed, why in row.intact_reasons.items()}
        if data["shrunk"] is not None:
            row.shrunk = Shrunk(**data["shrunk"])
        return row


@dataclass(frozen=True)
class Limits:
    seeds: int
    intact: int
    runs: int


def find_out(row: Row, limits: Limits, work: Path) -> Iterator[str]:
    """Go on with what is not known yet, a simulated run or a shrinking at a time; what was done is
    in `row` whenever it says something. Raises SeedError if nothing can be simulated."""
    directory = work / row.name
    if not row.reason:
        yield from _convict(row, limits, directory)
    if row.reason and row.shrunk is None and not row.fault:
        yield from _shrink(row, limits, directory)
    yield from _intact(row, limits, directory)


def _convict(row: Row, limits: Limits, directory: Path) -> Iterator[str]:
    with Simulator(FILE, row.name) as simulator:
        while not row.reason and row.seeds < limits.seeds:
            seed = row.seeds + 1
            result = simulator.run_seed(seed, out=directory / f"seed-{seed}")
            row.seeds = seed
            if result.verdict == "invalid":
                row.reason = result.reason
            else:
                shutil.rmtree(directory / f"seed-{seed}")
            if result.verdict == "unknown":
                row.undecided[seed] = result.reason
            yield f"{row.name}: seed {seed} is {result.verdict}: {result.reason}"


def _shrink(row: Row, limits: Limits, directory: Path) -> Iterator[str]:
    run = directory / f"seed-{row.seeds}"
    try:
        if (run / RECORD).exists():
            failed = read_seed(run)
        else:  # gone since it was convicted
            failed = run_seed(FILE, row.name, row.seeds, out=run)
        found = shrink_seed(
            FILE, row.name, failed, out=run / "shrunk", runs=limits.runs,
            say=lambda text: print(f"{row.name}: {text}", file=sys.stderr, flush=True),
        )  # fmt: skip
    except SeedError as exc:
        row.fault = str(exc)
        yield f"{row.name}: {exc}"
        return
    row.shrunk = Shrunk(
        found.runs,
        found.sentence,
        list(found.words),
        found.result.counts.get("operations", 0),
        found.result.reason,
    )
    yield f"{row.name}: {found.sentence}"


def _intact(row: Row, limits: Limits, directory: Path) -> Iterator[str]:
    with Simulator(FILE, f"intact_{row.name}") as simulator:
        while row.intact_seeds < max(row.seeds, limits.intact):
            seed = row.intact_seeds + 1
            out = directory / f"intact-{seed}"
            result = simulator.run_seed(seed, out=out)
            row.intact[result.verdict] = row.intact.get(result.verdict, 0) + 1
            if result.verdict == "valid":
                shutil.rmtree(out)
            else:
                row.intact_reasons[seed] = result.reason
            yield f"{row.name} intact: seed {seed} is {result.verdict}: {result.reason}"


# ------------------------------------------------------------------------------ the page


def header(runs: int) -> str:
    said = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return _HEADER.format(
        runs=runs,
        day=datetime.now(UTC).date(),
        commit=said.stdout.strip() or "an unknown commit",
        python=platform.python_version(),
    )


def summary(rows: Sequence[Row]) -> str:
    lines = [
        "| mutant | convicted by seed | check | its schedule, shrunk | with the rule |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        by = f"{row.seeds}" if row.reason else f"none of {row.seeds}"
        check = row.reason.split(":")[0]
        shrunk = "" if row.shrunk is None else row.shrunk.sentence
        intact = ", ".join(f"{count} {verdict}" for verdict, count in sorted(row.intact.items()))
        lines.append(f"| [{row.name}](#{row.name}) | {by} | {check} | {shrunk} | {intact} |")
    return "\n".join(lines) + "\n\n"


def section(row: Row) -> str:
    test, rule, _ = MUTANTS[row.name]
    where = f"{FILE}:{row.name}"
    lines = [f"## {row.name}", "", (rule.__doc__ or "").strip(), ""]
    if row.reason:
        lines += [f"The test `{test.name}`, seed {row.seeds}: {row.reason}.".replace("..", "."), ""]
    else:
        lines += [f"Not convicted by the test `{test.name}` in {row.seeds} seeds.", ""]
    lines += [f"Seed {seed} is unknown: {why}.\n" for seed, why in row.undecided.items()]
    if row.fault:
        lines += [f"It could not be shrunk: {row.fault}", ""]
    if row.shrunk is not None:
        lines += [
            f"{row.shrunk.sentence[0].upper()}{row.shrunk.sentence[1:]}:",
            "",
            *("```text", *row.shrunk.words, "```", ""),
            f"After {row.shrunk.operations} operations, the final reads among them: "
            f"{row.shrunk.reason}.".replace("..", "."),
            "",
            *("```sh", f"jepsen-like shrink {where} --seed {row.seeds}", "```", ""),
        ]
    lines += [
        f"With the rule in its place seed {seed} is not valid: {why}.\n"
        for seed, why in row.intact_reasons.items()
    ]
    return "\n".join(lines) + "\n"


def page(rows: Sequence[Row], runs: int) -> str:
    return header(runs) + summary(rows) + "".join(map(section, rows)).rstrip() + "\n"


# ------------------------------------------------------------------------------ the program


def _resumed(path: Path | None, names: Sequence[str], code: str) -> list[Row]:
    """What was found out before, with this code and this file of mutants."""
    found = {name: Row(name) for name in names}
    if path is not None and path.exists():
        for text in path.read_text(encoding="utf-8").splitlines():
            line = json.loads(text)
            if line["code"] == code and line["row"]["name"] in found:
                found[line["row"]["name"]] = Row.from_data(line["row"])
    return list(found.values())


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Convict the whole stack with one rule less.")
    parser.add_argument("names", nargs="*", choices=[[], *MUTANTS], help="default: all")
    parser.add_argument("--seeds", type=int, default=200, help="so many at most")
    parser.add_argument("--intact", type=int, default=5, help="so many seeds with the rule")
    parser.add_argument("--runs", type=int, default=50, help="so many to shrink a schedule")
    parser.add_argument("--minutes", type=float, default=90, help="then stop, and say how far")
    parser.add_argument("--resume", type=Path, help="a file of what is done, to go on after a stop")
    parser.add_argument(
        "--work", type=Path, default=Path("jepsen-runs/stack-mutants"), help="for the runs' reports"
    )
    parser.add_argument("--out", type=Path, help="write the page there as well")
    arguments = parser.parse_args(words)
    code = version_of((FILE, ""))
    rows = _resumed(arguments.resume, arguments.names or list(MUTANTS), code)
    limits = Limits(arguments.seeds, arguments.intact, arguments.runs)
    until = time.monotonic() + 60 * arguments.minutes
    for row in rows:
        for said in find_out(row, limits, arguments.work):
            print(said, flush=True)
            if arguments.resume is not None:
                with arguments.resume.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"code": code, "row": asdict(row)}) + "\n")
            if time.monotonic() > until:
                print("The time is over; run it again to go on.", file=sys.stderr)
                return 2
    if arguments.out is not None:
        arguments.out.write_text(page(rows, limits.runs), encoding="utf-8")
    counts = Counter(row.is_as_it_should_be for row in rows)
    print(f"{counts[True]} of {len(rows)} are convicted, shrunk, and valid with the rule")
    return int(counts[False] > 0)


if __name__ == "__main__":
    sys.exit(main())
