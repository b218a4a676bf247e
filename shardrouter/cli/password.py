"""The verb `password`: gives a role a new one, for who has lost it."""

from __future__ import annotations

import asyncio

import click

from nodes.config import ConfigError
from shardrouter.cli.look import cluster_option
from shardrouter.cli.run import run_async
from shardrouter.locate import find_cluster, load_cluster

__all__ = ["password"]

TIMEOUT_S = 30.0


@click.command(short_help="Give a role a new password.")
@click.argument("role", default="shardrouter")
@cluster_option
def password(role: str, cluster_file: str | None) -> None:
    """Give ROLE (default: shardrouter) a new password and print a DSN with it.

    Needs no password: whoever has the cluster's secret may. The role is made if it is missing, as
    a superuser. That of shardrouter is also written into the file `dsn` beside cluster.toml.
    """
    run_async(_password(role, cluster_file))


async def _password(role: str, cluster_file: str | None) -> None:
    from shardrouter.dsn_file import USER, make_dsn, new_password, replace_dsn
    from shardrouter.router import Router

    path = find_cluster(cluster_file)
    address = load_cluster(path).router
    new = new_password()
    async with Router.open(path, name="password") as router:
        deadline = asyncio.get_running_loop().time() + TIMEOUT_S
        await router.roles.give_password(role, new, deadline)
    try:
        if role == USER:
            replace_dsn(path, address, new)
    except OSError as exc:
        raise ConfigError(f"the password is {new}, but the DSN cannot be written: {exc}.") from exc
    click.echo(make_dsn(address, new, role))
