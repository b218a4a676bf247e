"""The verb `sql`: a shell of statements, at a prompt, with -c and -f, or fed by a pipe.

It is a PostgreSQL client like any other and knows nothing of the cluster but the addresses of
routers; its commands, formats and exit codes are psql's where both have them.

    splitting, arguments   what was typed, as statements and commands
    shell                  the connection, and a statement's way over it
    result, layout         rows on their way to the user
    commands               what begins with a backslash; describing and copying are the long ones
    prompt, completion     the terminal
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from nodes.config import ConfigError
from shardrouter.cli.run import run_async
from shardrouter.cli.shell.settings import Settings
from shardrouter.dsn_file import read_dsn
from shardrouter.locate import find_cluster

__all__ = ["sql"]


@click.command(short_help="Type SQL.")
@click.argument("dsn", required=False)
@click.option("-c", "--command", "commands", multiple=True, help="Run this and exit.")
@click.option(
    "-f", "--file", "files", multiple=True, type=click.Path(), help="Run this file and exit."
)
@click.option("-o", "--output", "output_file", type=click.Path(), help="Answers go to this file.")
@click.option("--json", "format_name", flag_value="json", help="Rows as JSON.")
@click.option("--csv", "format_name", flag_value="csv", help="Rows as CSV.")
@click.option("-x", "--expanded", is_flag=True, help="A line for each column.")
@click.option("-t", "--tuples-only", is_flag=True, help="Rows without heads and counts.")
@click.option("-v", "--set", "variables", multiple=True, help="ON_ERROR_STOP=1 ends at an error.")
@click.option("--cluster", "cluster_file", help="The cluster's cluster.toml, if no DSN is given.")
def sql(
    dsn: str | None,
    commands: tuple[str, ...],
    files: tuple[str, ...],
    output_file: str | None,
    format_name: str | None,
    expanded: bool,
    tuples_only: bool,
    variables: tuple[str, ...],
    cluster_file: str | None,
) -> None:
    """Type SQL. Without a DSN, the router of the cluster found as by every verb; several hosts in
    a DSN are tried in order.

    \b
      shardrouter sql
      shardrouter sql -c "SELECT count(*) FROM t"
      shardrouter sql -v ON_ERROR_STOP=1 -f script.sql
      shardrouter sql --csv -c "SELECT * FROM t" > t.csv
      shardrouter sql postgresql://ann:secret@10.0.0.1:6433,10.0.0.2:6433/shardrouter

    Exit codes are psql's: 1 if the last -c failed, 2 if there is no connection, 3 if ON_ERROR_STOP
    ended a script.
    """
    from shardrouter.cli.shell.arguments import ArgumentError
    from shardrouter.pgclient import DsnError, parse_dsn

    settings = Settings(expanded="on" if expanded else "off", heads=not tuples_only)
    try:
        target = parse_dsn(dsn or read_dsn(find_cluster(cluster_file)), os.environ)
        if format_name is not None:
            settings.set_format(format_name)
        for variable in variables:
            name, _, value = variable.partition("=")
            settings.set_variable(name, value)
    except (ConfigError, DsnError, ArgumentError) as exc:
        raise click.ClickException(str(exc)) from exc

    from shardrouter.cli.shell.running import run

    code = run_async(run(target, settings, commands, [Path(f) for f in files], output_file))
    if code:
        sys.exit(code)
