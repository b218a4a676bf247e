"""What pgcli asks for its completions, and a session with its own commands, as it shows them.

Run in an environment that has pgcli.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pgcli.pgexecute import PGExecute

MINE = ("public", "sales")


def step(name: str, act: Callable[[], Any]) -> None:
    try:
        found = act()
    except Exception as exc:
        print(f"== {name}\n{type(exc).__name__}: {exc}", flush=True)
    else:
        print(f"== {name}\n{found}", flush=True)


def mine(rows: Iterable[Any]) -> list[Any]:
    """Those that are of the schemas of the test: what PostgreSQL has built in is its own."""
    return sorted((row for row in rows if row[0] in MINE), key=str)


def completions(executor: PGExecute) -> None:
    step("search_path", executor.search_path)
    step("schemata", lambda: sorted(executor.schemata()))
    step("tables", lambda: mine(executor.tables()))
    step("views", lambda: mine(executor.views()))
    step("columns", lambda: "\n".join(map(str, mine(executor.table_columns()))))
    step("columns of views", lambda: mine(executor.view_columns()))
    step("foreign keys", lambda: "\n".join(map(str, sorted(executor.foreignkeys()))))
    step("functions", lambda: mine(map(_signature, executor.functions())))
    step("types", lambda: mine(executor.datatypes()))
    step("databases", lambda: [name for name in executor.databases() if name == "shardrouter"])
    step("casing", lambda: sorted(set(executor.casing()) & {"author", "book", "Odd Name"}))
    step("time zone", executor.get_timezone)


def _signature(function: Any) -> tuple[str, str]:
    return function.schema_name, function.func_name


COMMANDS = (
    "\\d",
    "\\d book",
    "\\dt sales.*",
    "\\di",
    "\\ds",
    "\\dn",
    "\\dv",
    "\\du",
    "SELECT id, title, price FROM book ORDER BY id",
    "SELECT * FROM sales.shop ORDER BY code",
    "INSERT INTO author (name) VALUES ('Mary') RETURNING name",
    "BEGIN; UPDATE author SET note = 'x' WHERE name = 'Mary'; ROLLBACK",
    "SELECT note FROM author WHERE name = 'Mary'",
    "SELECT nope",
)


def session(directory: Path) -> None:
    """Each command by the program itself, as `pgcli -c`."""
    configuration = directory / "pgclirc"
    configuration.write_text("[main]\nless_chatty = True\ntable_format = psql\n", encoding="utf-8")
    for command in COMMANDS:
        step(f"pgcli -c {command}", lambda command=command: _run(configuration, command))


def _run(configuration: Path, command: str) -> str:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pgcli.main", "--pgclirc", str(configuration), "-y"),
            *("-h", "127.0.0.1", "-p", os.environ["TOOL_PORT"], "-U", os.environ["TOOL_USER"]),
            *("-d", os.environ["TOOL_DATABASE"], "-c", command),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    said = [line.rstrip() for line in (done.stdout + done.stderr).splitlines()]
    return "\n".join(line for line in said if line and not line.startswith("Time:"))


if __name__ == "__main__":
    connected = PGExecute(
        os.environ["TOOL_DATABASE"],
        os.environ["TOOL_USER"],
        os.environ["TOOL_PASSWORD"],
        "127.0.0.1",
        os.environ["TOOL_PORT"],
    )
    completions(connected)
    session(Path(sys.argv[1]))
