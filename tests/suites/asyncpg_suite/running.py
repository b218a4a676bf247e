"""Gets asyncpg's tests of the installed version, and runs them against a server."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path
from typing import Final

from tests.suites.environment import BUILD, environment
from tests.suites.outcomes import Outcome, outcomes

__all__ = ["HERE", "fetch_tests", "run_tests"]

HERE: Final = Path(__file__).parent

LEFT_OUT: Final = {
    "test_connect.py": "it starts servers of its own",
    "test__sourcecode.py": "it lints asyncpg",
}

TEST_TIMEOUT_S: Final = 60


def fetch_tests() -> tuple[Path, Path]:
    """The Python that has asyncpg, and the directory that has its tests, without its sources.
    Raises subprocess.CalledProcessError."""
    wanted = version("asyncpg")
    python = environment(
        "asyncpg", (f"asyncpg=={wanted}", "pytest>=8,<10", "pytest-timeout>=2.3,<3", "uvloop")
    )
    directory = BUILD / f"asyncpg-{wanted}"
    if not directory.exists():
        download = [
            *(str(python), "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
            *("--no-deps", "--no-binary", "asyncpg", f"asyncpg=={wanted}", "--dest", str(BUILD)),
        ]
        subprocess.run(download, check=True)
        with tarfile.open(BUILD / f"asyncpg-{wanted}.tar.gz") as archive:
            members = [m for m in archive if "/tests/" in m.name or m.name.endswith("/tests")]
            archive.extractall(BUILD, members, filter="data")
    return python, directory


def run_tests(
    port: int, *, user: str, database: str, password: str = "", only: str = "", tables: str = ""
) -> list[Outcome]:
    """Every test, or those whose names have `only`, on the server at `port` of loopback. `tables`
    is a query for the tables that a test which failed has left; without it they stay."""
    python, directory = fetch_tests()
    report = directory / "report.xml"
    report.unlink(missing_ok=True)
    (directory / "pytest.ini").write_text("[pytest]\n")  # else the project's own would hold
    shutil.copy(Path(__file__).with_name("between_tests.py"), directory / "tests" / "conftest.py")
    done = subprocess.run(
        [
            *(str(python), "-m", "pytest", "tests", "-q", "-p", "no:cacheprovider"),
            *(f"--timeout={TEST_TIMEOUT_S}", f"--junitxml={report}", "--tb=native"),
            *(f"--ignore=tests/{name}" for name in LEFT_OUT),
            *(("-k", only) if only else ()),
        ],
        cwd=directory,
        env={
            **{k: v for k, v in os.environ.items() if not k.startswith("PG") and k != "PYTHONPATH"},
            "PGHOST": "127.0.0.1",
            "PGPORT": str(port),
            "PGUSER": user,
            "PGPASSWORD": password,
            "PGDATABASE": database,
            **({"TABLES_QUERY": tables} if tables else {}),
        },
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if not report.exists():
        sys.exit(f"asyncpg's tests did not run:\n{done.stdout[-4000:]}")
    return outcomes(report.read_text(encoding="utf-8"), "tests.")
