"""Runs one tool against a server, as its users do; returns what it printed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.suites.environment import BUILD, environment
from tests.suites.postgres import find_programs
from tests.suites.tools.transcripts import HERE, read

__all__ = ["TOOLS", "Server", "run_tool"]

TOOLS: Final = ("django", "alembic", "pgcli", "psql", "jdbc")

REQUIREMENTS: Final = (
    "Django>=5.2,<5.3",
    "alembic>=1.18,<2",
    "sqlalchemy>=2,<3",
    "pgcli>=4.3,<5",
    "psycopg[binary]>=3.2,<4",
)
"""Django's present LTS; it and the others are as they come."""


JDBC: Final = "org.postgresql:postgresql:42.7.7"
COPY: Final = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy"


@dataclass(frozen=True)
class Server:
    """On loopback. `options` are libpq's PGOPTIONS: what a user sets for all of these tools."""

    port: int
    user: str
    database: str
    password: str = ""
    options: str = ""

    def environment(self) -> dict[str, str]:
        mine = {k: v for k, v in os.environ.items() if not k.startswith("PG") and k != "PYTHONPATH"}
        return mine | {
            "TOOL_PORT": str(self.port),
            "TOOL_USER": self.user,
            "TOOL_PASSWORD": self.password,
            "TOOL_DATABASE": self.database,
            "PGPASSWORD": self.password,
            "PGOPTIONS": self.options,
            "TOOL_OPTIONS": self.options.replace(" ", "%20"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "LC_ALL": "C.UTF-8",
        }


def run_tool(name: str, server: Server) -> dict[str, str]:
    """What each step of the tool printed. Raises PostgresMissing if there is no psql."""
    if name in ("pgcli", "psql", "jdbc"):
        _psql(server, "schema.sql")
    if name == "psql":
        return read(_psql(server, "commands.sql"))
    if name == "jdbc":
        return read(_java(server))
    python = environment("tools", REQUIREMENTS)
    with tempfile.TemporaryDirectory(prefix="tools-") as scratch:
        script, directory = {
            "django": ("session.py", HERE / "django_project"),
            "alembic": ("session.py", HERE / "alembic_project"),
            "pgcli": ("pgcli_session.py", HERE),
        }[name]
        home = {"HOME": scratch, "XDG_CONFIG_HOME": scratch}
        return read(_output([str(python), script, scratch], server.environment() | home, directory))


def _java(server: Server) -> str:
    """PostgreSQL's JDBC driver. Raises FileNotFoundError, CalledProcessError."""
    if shutil.which("mvn") is None or shutil.which("javac") is None:
        raise FileNotFoundError("Java is missing: apt-get install openjdk-17-jdk-headless maven")
    directory = BUILD / "jdbc"
    jar = directory / f"postgresql-{JDBC.rpartition(':')[2]}.jar"
    if not jar.exists():
        fetch = ["mvn", "-q", "-B", COPY, f"-Dartifact={JDBC}", f"-DoutputDirectory={directory}"]
        subprocess.run(fetch, check=True)
    classes = directory / "classes"
    source = HERE / "jdbc" / "Metadata.java"
    subprocess.run(["javac", "-d", classes, source], check=True)
    path = f"{jar}:{classes}"
    return _output(["java", "-cp", path, "Metadata"], server.environment(), directory)


def _psql(server: Server, script: str) -> str:
    where = ("-h", "127.0.0.1", "-p", str(server.port), "-U", server.user, server.database)
    psql = str(find_programs() / "psql")  # what it prints differs from version to version
    return _output([psql, "-X", "-q", *where, "-f", script], server.environment(), HERE)


def _output(command: list[str], variables: Mapping[str, str], directory: Path) -> str:
    done = subprocess.run(
        command,
        cwd=directory,
        env=dict(variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout
