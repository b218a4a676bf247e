"""Runs SQLAlchemy's suite for dialects against a server, with its own dialect and requirements.

The suite is a module of SQLAlchemy (`sqlalchemy.testing.suite`) made for the authors of dialects;
what it is given here is what its README says: no subclass, no requirement of ours. Left out is
what its provision for PostgreSQL begins with: CREATE EXTENSION of citext and hstore.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

from tests.suites.environment import BUILD, environment
from tests.suites.outcomes import Outcome, outcomes

__all__ = ["DRIVERS", "HERE", "SCHEMAS", "run_tests"]

HERE: Final = Path(__file__).parent

DRIVERS: Final = ("psycopg", "asyncpg")

SCHEMAS: Final = ("test_schema", "test_schema_2")
"""Made before the suite runs; without them PostgreSQL itself passes half of it."""

REQUIREMENTS: Final = (
    "sqlalchemy[asyncio]==2.1.9",
    "psycopg[binary]>=3.2,<4",
    "asyncpg>=0.30,<0.32",
    "pytest>=8,<9",
    "pytest-timeout>=2.3,<3",
)

TEST_TIMEOUT_S: Final = 60

_WHERE: Final = re.compile(r"_postgresql\+\w+(?=\.)")
"""What the suite adds to the name of a class: dialect, driver and the server's version."""

FILES: Final = {
    "conftest.py": """\
import os

import pytest

pytest.register_assert_rewrite("sqlalchemy.testing.assertions")

from sqlalchemy import event
from sqlalchemy.dialects.postgresql import provision
from sqlalchemy.engine import Engine
from sqlalchemy.testing.plugin.pytestplugin import *

provision._extensions.clear()  # citext and hstore, which no test of the suite is about


@event.listens_for(Engine, "connect")
def set_up(connection, _):  # what the server under test is to be told first
    if not os.environ["SUITE_SETUP"]:
        return
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute(os.environ["SUITE_SETUP"])
    cursor.close()
    connection.autocommit = False
""",
    "test_suite.py": "from sqlalchemy.testing.suite import *\n",
    "setup.cfg": """\
[tool:pytest]
addopts = --tb=native -r fEsxX
python_files = test_suite.py

[sqla_testing]
requirement_cls = sqlalchemy.testing.requirements:SuiteRequirements
profile_file = profiles.txt
""",
}


def run_tests(
    driver: str,
    port: int,
    *,
    user: str,
    database: str,
    password: str = "",
    setup: str = "",
    only: str = "",
) -> list[Outcome]:
    """Every test, or those whose names have `only`, on the server at `port` of loopback. Each
    connection says `setup` first, if there is any."""
    python = environment("sqlalchemy", REQUIREMENTS)
    directory = BUILD / "sqlalchemy-suite"
    directory.mkdir(exist_ok=True)
    for name, text in FILES.items():
        (directory / name).write_text(text, encoding="utf-8")
    report = directory / f"{driver}.xml"
    report.unlink(missing_ok=True)
    done = subprocess.run(
        [
            *(str(python), "-m", "pytest", "test_suite.py", "-q", "-p", "no:cacheprovider"),
            *("--dburi", f"postgresql+{driver}://{user}:{password}@127.0.0.1:{port}/{database}"),
            *(f"--timeout={TEST_TIMEOUT_S}", f"--junitxml={report}"),
            *(("-k", only) if only else ()),
        ],
        cwd=directory,
        env={
            **{k: v for k, v in os.environ.items() if not k.startswith("PG") and k != "PYTHONPATH"},
            "SUITE_SETUP": setup,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    (directory / f"{driver}.log").write_text(done.stdout, encoding="utf-8")
    if not report.exists():
        sys.exit(f"SQLAlchemy's suite did not run:\n{done.stdout[-4000:]}")
    return [
        replace(outcome, test=_WHERE.sub("", outcome.test))
        for outcome in outcomes(report.read_text(encoding="utf-8"), "test_suite.")
    ]
