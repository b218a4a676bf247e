"""`make compatibility`: measures every construct and writes docs/compatibility.md.

What the page says is what two servers answered, and the reasons that `asyncpg_suite/reasons.txt`
gives; nobody writes it by hand.
"""

from __future__ import annotations

import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.suites.asyncpg_suite.running import HERE as ASYNCPG
from tests.suites.differential.comparison import EXPLAINED, UNPROMISED
from tests.suites.differential.measure import Finding, measure
from tests.suites.differential.pair import running_pair
from tests.suites.environment import ROOT
from tests.suites.postgres import PostgresMissing
from tests.suites.reasons import reason_of, reasons
from tests.suites.sqlalchemy_suite.running import HERE as SQLALCHEMY

__all__ = ["PAGE", "over_shards", "page", "supported_in"]

PAGE: Final = ROOT / "docs" / "compatibility.md"

HEAD: Final = """\
# What is PostgreSQL's here

Made by `make compatibility`, which runs an example of every construct here and on PostgreSQL 15
and compares rows, types, type modifiers, column names, command tags, notices, the state of the
transaction and SQLSTATEs. *Supported* is what both answer alike. *Refused* is SQLSTATE 0A000 with
a hint, before anything has happened. *Different* is a fault, and is listed until it is mended.

`make differential` makes statements of all supported constructs at random and compares the same
(`make nightly`: 20 000 of them; some hundred in `make test`); `make differential-sweep` makes
single expressions, of every type, value and way to hand it over, or with `--every` each value with
each, in every place where an expression may stand, and each pair of types. Operands of an
expression are shown by their types.
"""

EXPLAINED_HEAD: Final = """\
## What stays different

"""

ASYNCPG_HEAD: Final = """\
## asyncpg's own tests

`make asyncpg-suite` runs the tests of the installed version, without `test_connect.py`, which
starts servers of its own. PostgreSQL passes {expected} of them. {failing}
"""

SQLALCHEMY_HEAD: Final = """\
## SQLAlchemy's suite for dialects

`make sqlalchemy-suite` runs it through psycopg and asyncpg, with SQLAlchemy's own dialect for
PostgreSQL, on a cluster of one shard and with `default_placement = home`. PostgreSQL passes
{expected} of its tests with both. {failing}
"""

OVER_SHARDS: Final = """\
Over three shards (`make sqlalchemy-suite SHARDS=3`) tables are at home, or with `PLACEMENT=sharded`
sharded by their primary keys wherever nothing else is said, which the suite does not:
"""


def page(findings: Sequence[Finding]) -> str:
    """The text of the page."""
    parts = [HEAD]
    sections = dict.fromkeys(finding.section for finding in findings)
    for section in sections:
        parts.append(f"## {section[0].upper()}{section[1:]}\n")
        parts += _section([f for f in findings if f.section == section])
    reasons_given = [why for why, _, _ in EXPLAINED] + list(UNPROMISED)
    parts.append(EXPLAINED_HEAD + "".join(f"- {' '.join(why.split())}\n" for why in reasons_given))
    parts.append(_suite(ASYNCPG_HEAD, ASYNCPG))
    parts.append(_suite(SQLALCHEMY_HEAD, SQLALCHEMY))
    parts.append(over_shards(SQLALCHEMY))
    return "\n".join(parts)


def _section(findings: Sequence[Finding]) -> list[str]:
    parts = []
    supported = [f.name for f in findings if f.is_supported]
    if supported:
        parts.append(f"Supported: {_listed(supported)}\n")
    refused: dict[str, list[str]] = defaultdict(list)
    for finding in findings:
        if finding.refusal:
            refused[finding.hint].append(finding.name)
    if refused:
        lines = [f"- {_listed(names)}: {hint}\n" for hint, names in refused.items()]
        parts.append("Refused:\n\n" + "".join(lines))
    different = [f for f in findings if f.different]
    if different:
        lines = [f"- {_listed([f.name])}: `{_code(f.different)}`\n" for f in different]
        parts.append("Different:\n\n" + "".join(lines))
    return parts


def _suite(head: str, directory: Path) -> str:
    expected = (directory / "baseline.txt").read_text(encoding="utf-8").splitlines()
    known = reasons((directory / "reasons.txt").read_text(encoding="utf-8"))
    by_reason: dict[str, list[str]] = defaultdict(list)
    for test in expected:
        why = reason_of(test, known)
        if why:
            by_reason[why].append(test.rpartition(".")[2])
    lines = [f"- {why}: {_listed(tests)}" for why, tests in by_reason.items()]
    failing = "Those that fail here, and why:\n" if lines else "All of them pass here."
    return "\n".join([head.format(expected=len(expected), failing=failing), *lines])


def over_shards(directory: Path) -> str:
    """What of a suite passes over several shards, by the placement of its tables."""
    expected = (directory / "baseline.txt").read_text(encoding="utf-8").splitlines()
    lines = [OVER_SHARDS]
    for placement in ("home", "sharded"):
        known = reasons((directory / f"reasons-{placement}.txt").read_text(encoding="utf-8"))
        failing = Counter(why for why in (reason_of(test, known) for test in expected) if why)
        passing = len(expected) - failing.total()
        lines.append(f"- `{placement}`: {passing} of {len(expected)} pass" + ":" * bool(failing))
        lines += [f"  - {count}: {why}" for why, count in failing.items()]
    return "\n".join(lines) + "\n"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{_code(name)}`" for name in names)


def _code(text: str) -> str:
    return text.replace("`", "'")


def supported_in(text: str) -> set[str]:
    """The constructs that a page claims."""
    lines = re.findall(r"^Supported: (.*)$", text, re.MULTILINE)
    return {name for line in lines for name in re.findall(r"`([^`]*)`", line)}


def main() -> int:
    began = time.monotonic()
    try:
        with running_pair() as pair:
            findings = measure(pair)
    except PostgresMissing as exc:
        print(exc)
        return 2
    PAGE.write_text(page(findings), encoding="utf-8")
    counts = [
        sum(f.is_supported for f in findings),
        sum(bool(f.refusal) for f in findings),
        sum(bool(f.different) for f in findings),
    ]
    print(
        f"compatibility: {len(findings)} constructs: {counts[0]} supported, {counts[1]} refused, "
        f"{counts[2]} different; {Path(PAGE).relative_to(ROOT)} is written, "
        f"{time.monotonic() - began:.0f} s"
    )
    return 1 if counts[2] else 0


if __name__ == "__main__":
    sys.exit(main())
