"""A router that serves the PostgreSQL wire, as a part of a verb: what `up` and `serve` share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import click

from nodes.config import Address, ClusterConfig, ConfigError
from nodes.log_format import LOG_FORMATS, LogFormat, log_to_stderr
from nodes.metrics import Family
from nodes.metrics_page import MetricsPage
from shardrouter.admission import REFUSE_ABOVE

if TYPE_CHECKING:
    from shardrouter.pgserver.tls import Encryption
    from shardrouter.statement_log import Level

__all__ = [
    "CLOSE_GRACE_S",
    "READY_TIMEOUT_S",
    "RouterOptions",
    "Running",
    "encryption_for",
    "log_options",
    "metrics_option",
    "running_router",
    "say",
    "workers_option",
]

READY_TIMEOUT_S: Final = 60.0
"""How long `up` waits for the first linearizable read before it gives up."""

CLOSE_GRACE_S: Final = 5.0
"""Running statements may take this long to end when the router stops."""

WORKERS_MAX: Final = 64

F = TypeVar("F", bound=Callable[..., Any])

_log: Final = logging.getLogger("shardrouter.cli")
"""Progress, where the log is for machines."""


_log_options = (
    click.option(
        "--log-statements",
        type=click.Choice(("none", "text", "values")),
        default="none",
        show_default=True,
        help="Write statements to standard error: their text without values, or all of them.",
    ),
    click.option(
        "--slow-statement-ms",
        type=click.IntRange(-1, 3_600_000),
        default=-1,
        help="Write there what takes so long, without values; -1 is nothing.  [default: -1]",
    ),
    click.option(
        "--log-format",
        type=click.Choice(LOG_FORMATS),
        default="text",
        show_default=True,
        help="Of what is written there: lines for people, or an object in each.",
    ),
)

workers_option = click.option(
    "--workers",
    type=click.IntRange(1, WORKERS_MAX),
    default=1,
    show_default=True,
    help="Router processes that share the port.",
)

metrics_option = click.option(
    "--metrics", metavar="HOST:PORT", help="Answer /metrics there.  [default: as cluster.toml says]"
)


def log_options(command: F) -> F:
    """What `up` and `serve` are told of their logs, as log_statements, slow_statement_ms and
    log_format."""
    for option in reversed(_log_options):
        command = option(command)
    return command


@dataclass(frozen=True)
class RouterOptions:
    """How a router process is to be; whatever is None, `cluster.toml` says."""

    name: str
    address: Address | None = None
    metrics: Address | None = None
    log_statements: Level = "none"
    slow_statement_ms: int = -1
    log_format: LogFormat = "text"
    replica_choice: str | None = None
    zone: str = ""
    refuse_above: int = REFUSE_ABOVE
    worker: int = 0  # of those that share a port; 0: it is alone

    def arguments(self) -> list[str]:
        """The options of `serve` that say the same, but for its address and /metrics."""
        arguments = ["--name", self.name, "--log-statements", self.log_statements]
        arguments += ["--slow-statement-ms", str(self.slow_statement_ms)]
        arguments += ["--log-format", self.log_format, "--zone", self.zone]
        arguments += ["--refuse-above", str(self.refuse_above)]
        if self.replica_choice is not None:
            arguments += ["--replica-choice", self.replica_choice]
        return arguments

    def begin_log(self) -> None:
        """From now on this process logs so."""
        level = logging.WARNING if self.log_statements == "none" else logging.INFO
        log_to_stderr(self.name, level, self.log_format)
        if self.log_format == "json":
            _log.setLevel(logging.INFO)


def say(text: str) -> None:
    """Progress goes to stderr: stdout carries only what a script may want to read."""
    if _log.level == logging.INFO:
        _log.info("%s", text)
    else:
        click.echo(text, err=True)


class Running(NamedTuple):
    """A router that serves."""

    address: Address
    families: Callable[[], list[Family]]
    cancel: Callable[[int, bytes], None]
    """End what a client of this process is running, if that is its pid and key."""


@asynccontextmanager
async def running_router(
    config: ClusterConfig,
    path: Path,
    options: RouterOptions,
    encryption: Encryption | None,
    forward: Callable[[int, bytes], None] | None = None,
) -> AsyncIterator[Running]:
    """A router that serves the PostgreSQL wire, once the cluster answers linearizable reads and
    has a role that may connect. A worker answers no /metrics itself, and has a `forward` for
    cancels that are not its own."""
    from shardrouter.access import admit_first
    from shardrouter.pgserver import PgServer
    from shardrouter.pgserver.client_metrics import client_families
    from shardrouter.router import Router

    listen = options.address or config.router
    async with Router.open(
        path,
        name=options.name,
        timeout=READY_TIMEOUT_S,
        progress=say,
        log_statements=options.log_statements,
        slow_statement_ms=options.slow_statement_ms,
        replica_choice=options.replica_choice,
        zone=options.zone,
        refuse_above=options.refuse_above,
    ) as router:
        server = PgServer(
            router.new_session,
            host=listen.host,
            port=listen.port,
            authenticator=router.roles,
            encryption=encryption,
            worker=options.worker,
            forward=forward,
        )

        def families() -> list[Family]:
            return [*router.metrics(), *client_families(server.counts)]

        async def gather() -> list[Family]:
            return families()

        bound = await server.start()
        page = None if options.worker else options.metrics or config.router_metrics
        try:
            deadline = asyncio.get_running_loop().time() + READY_TIMEOUT_S
            await admit_first(router.roles, path, config.router, deadline)
            await router.wait_ready(timeout=READY_TIMEOUT_S)
            async with nullcontext() if page is None else MetricsPage(page, gather):
                yield Running(bound, families, server.cancel_own)
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
