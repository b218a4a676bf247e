"""The verb `serve`: a router, for a cluster whose nodes run elsewhere."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import click

from nodes.cluster_file import load_cluster
from nodes.config import REPLICA_CHOICES, Address, ConfigError, parse_zone
from shardrouter.admission import REFUSE_ABOVE
from shardrouter.cli.look import cluster_option
from shardrouter.cli.router_process import (
    RouterOptions,
    Running,
    encryption_for,
    log_options,
    metrics_option,
    running_router,
    workers_option,
)
from shardrouter.cli.run import run_async, until_stopped, watch_stdin
from shardrouter.cli.worker import serve_as_worker
from shardrouter.cli.workers import Workers, router_command
from shardrouter.locate import find_cluster

__all__ = ["serve"]


@click.command()
@cluster_option
@click.option("--name", default=None, help="This router's name in logs.  [default: router-PID]")
@click.option("--port", type=click.IntRange(0, 65535), help="Listen here instead (0: any).")
@click.option(
    "--tls-cert",
    type=click.Path(path_type=Path),
    help="Certificate for TLS, PEM.  [default: router.crt beside cluster.toml, made if missing]",
)
@click.option("--tls-key", type=click.Path(path_type=Path), help="Its key, PEM.")
@click.option("--no-tls", is_flag=True, help="Refuse encryption.")
@click.option(
    "--replica-choice",
    type=click.Choice(REPLICA_CHOICES),
    help="How sessions choose among replicas that may answer.  [default: as cluster.toml says]",
)
@click.option("--zone", default="", help="Where this router is: eu/paris/a, say.")
@click.option(
    "--refuse-above",
    type=click.IntRange(0),
    default=REFUSE_ABOVE,
    show_default=True,
    help="Of more statements at once, refuse those that would be late.",
)
@workers_option
@metrics_option
@log_options
@click.option("--exit-with-stdin", is_flag=True, help="Stop when standard input is closed.")
@click.option("--worker", type=int, default=0, hidden=True, help="Which of the workers it is.")
@click.option("--link", type=int, hidden=True, help="The socket to its supervisor.")
def serve(
    cluster_file: str | None,
    name: str | None,
    port: int | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    no_tls: bool,
    replica_choice: str | None,
    zone: str,
    refuse_above: int,
    workers: int,
    metrics: str | None,
    exit_with_stdin: bool,
    worker: int,
    link: int | None,
    **logs: Any,
) -> None:
    """Run a router alone, for a cluster whose nodes run elsewhere.

    A router keeps no state: run as many as you like, side by side. Prints `ready HOST:PORT`
    once the cluster answers it a linearizable read. The first router of a cluster makes the role
    shardrouter and writes how to connect as it into the file `dsn` beside cluster.toml.

    One process uses one core: with --workers N there are N of them behind one port.
    """
    try:
        path = find_cluster(cluster_file)
        config = load_cluster(path)
        listen = config.router if port is None else Address(config.router.host, port)
        encryption = encryption_for(path, listen, tls_cert, tls_key, no_tls=no_tls)
        name = name or f"router-{os.getpid()}"
        page = None if metrics is None else Address.parse(metrics, "--metrics")
        parse_zone(zone, "--zone")
        options = RouterOptions(
            f"{name}-{worker}" if worker else name,
            listen,
            page,
            replica_choice=replica_choice,
            zone=zone,
            refuse_above=refuse_above,
            worker=worker,
            **logs,
        )
        options.begin_log()
        if link is not None:
            run_async(serve_as_worker(config, path, options, encryption, link))
        elif workers == 1:
            router = running_router(config, path, options, encryption)
            run_async(_serve(router, exit_with_stdin=exit_with_stdin))
        else:
            tls = [("--tls-cert", tls_cert), ("--tls-key", tls_key)]
            given = [text for name, file in tls if file for text in (name, str(file))]
            given += ["--no-tls"] if no_tls else []
            command = router_command(path, options, *given)
            group = Workers(command, workers, listen, page or config.router_metrics)
            run_async(_serve(group, exit_with_stdin=exit_with_stdin))
    except (ConfigError, OSError) as exc:
        raise click.ClickException(str(exc)) from exc


async def _serve(
    router: AbstractAsyncContextManager[Running | Workers], *, exit_with_stdin: bool
) -> None:
    async with until_stopped() as stop:
        if exit_with_stdin:
            watch_stdin(stop)
        async with router as running:
            click.echo(f"ready {running.address}")
            sys.stdout.flush()
            await asyncio.Event().wait()
