"""A router that serves the PostgreSQL wire, as a part of a verb: what `up` and `serve` share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from nodes.config import Address, ClusterConfig, ConfigError
from nodes.log_format import log_to_stderr
from nodes.metrics import Family
from nodes.metrics_page import MetricsPage

if TYPE_CHECKING:
    from shardrouter.pgserver.tls import Encryption
    from shardrouter.statement_log import Level

__all__ = ["encryption_for", "log_option", "metrics_option", "running_router", "say"]

READY_TIMEOUT_S: Final = 60.0
"""How long `up` waits for the first linearizable read before it gives up."""

CLOSE_GRACE_S: Final = 5.0
"""Running statements may take this long to end when the router stops."""


log_option = click.option(
    "--log-statements",
    type=click.Choice(("none", "text", "values")),
    default="none",
    show_default=True,
    help="Write statements to standard error: their text without values, or all of them.",
)


metrics_option = click.option(
    "--metrics", metavar="HOST:PORT", help="Answer /metrics there.  [default: as cluster.toml says]"
)


def say(text: str) -> None:
    """Progress goes to stderr: stdout carries only what a script may want to read."""
    click.echo(text, err=True)


@asynccontextmanager
async def running_router(
    config: ClusterConfig,
    path: Path,
    *,
    name: str,
    address: Address | None = None,
    encryption: Encryption | None,
    metrics: Address | None = None,
    log_statements: Level = "none",
    replica_choice: str | None = None,
    zone: str = "",
) -> AsyncIterator[Address]:
    """A router that serves the PostgreSQL wire, once the cluster answers linearizable reads and
    has a role that may connect."""
    from shardrouter.access import admit_first
    from shardrouter.pgserver import PgServer
    from shardrouter.pgserver.client_metrics import client_families
    from shardrouter.router import Router

    listen = address or config.router
    log_to_stderr(name, logging.WARNING if log_statements == "none" else logging.INFO)
    async with Router.open(
        path,
        name=name,
        timeout=READY_TIMEOUT_S,
        progress=say,
        log_statements=log_statements,
        replica_choice=replica_choice,
        zone=zone,
    ) as router:
        server = PgServer(
            router.new_session,
            host=listen.host,
            port=listen.port,
            authenticator=router.roles,
            encryption=encryption,
        )

        async def gather() -> list[Family]:
            return [*router.metrics(), *client_families(server.counts)]

        bound = await server.start()
        page = metrics or config.router_metrics
        try:
            deadline = asyncio.get_running_loop().time() + READY_TIMEOUT_S
            await admit_first(router.roles, path, config.router, deadline)
            await router.wait_ready(timeout=READY_TIMEOUT_S)
            async with nullcontext() if page is None else MetricsPage(page, gather):
                yield bound
        finally:
            await server.close(CLOSE_GRACE_S)


def encryption_for(
    path: Path,
    address: Address,
    certificate: Path | None = None,
    key: Path | None = None,
    *,
    no_tls: bool = False,
) -> Encryption | None:
    """How the router at `address` encrypts. Raises ConfigError."""
    from shardrouter.access import encryption_from, own_encryption

    if (certificate is None) != (key is None) or (no_tls and certificate is not None):
        raise ConfigError("give --tls-cert and --tls-key together, or --no-tls alone.")
    if no_tls:
        return None
    if certificate is not None and key is not None:
        return encryption_from(certificate, key)
    return own_encryption(path, address)
