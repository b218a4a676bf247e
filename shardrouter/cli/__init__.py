"""The command line `shardrouter`.

Each verb is a module; heavy imports happen inside the verbs, so that `--help` is quick. An
error that a user can mend ends in one sentence and exit code 1, wrong usage in exit code 2.
"""

from __future__ import annotations

import click

from shardrouter.cli.init import init
from shardrouter.cli.look import status, where
from shardrouter.cli.node import node
from shardrouter.cli.password import password
from shardrouter.cli.recover import recover
from shardrouter.cli.replicas import leader, replica
from shardrouter.cli.serve import serve
from shardrouter.cli.shell import sql
from shardrouter.cli.top import top
from shardrouter.cli.up import up
from shardrouter.cli.upgrade import upgrade
from shardrouter.cli.verify import verify

__all__ = ["main"]


class InOrder(click.Group):
    """Lists its verbs in the order in which somebody needs them, not by letters."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(
    cls=InOrder,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Begin with `shardrouter up`, then `shardrouter sql` in another terminal.",
)
@click.version_option(package_name="shardrouter", prog_name="shardrouter")
def main() -> None:
    """A sharded SQL database: PostgreSQL wire in front, Raft groups of SQLite behind."""


for command in (
    up,
    sql,
    status,
    top,
    where,
    init,
    node,
    serve,
    password,
    replica,
    leader,
    verify,
    upgrade,
    recover,
):
    main.add_command(command)
