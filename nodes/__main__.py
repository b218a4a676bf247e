"""`python -m nodes`: one node as a process, under the eyes of whoever started it.

It prints `ready HOST:PORT` when it listens, or one sentence on stderr and exits with 1. It runs
until SIGTERM or SIGINT, or until its standard input closes (`--exit-with-stdin`): whoever
started it holds the other end, and the kernel closes that end however the holder dies.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import click

from nodes.cluster_file import load_cluster
from nodes.collector import settle_collector
from nodes.config import Address, ConfigError
from nodes.log_format import LOG_FORMATS, LogFormat, log_to_stderr
from nodes.log_store import StoreError
from nodes.metrics_page import MetricsUnavailable
from nodes.node import Node
from nodes.server import ListenError

__all__ = ["main"]

_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


@click.command()
@click.option(
    "--cluster",
    type=click.Path(path_type=Path),
    required=True,
    help="The cluster.toml that describes the cluster.",
)
@click.option("--name", required=True, help="This node's name in it.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    required=True,
    help="This node's data directory; made if it is missing.",
)
@click.option(
    "--metrics", metavar="HOST:PORT", help="Answer /metrics there.  [default: as cluster.toml says]"
)
@click.option("--log-format", type=click.Choice(LOG_FORMATS), default="text", show_default=True)
@click.option("--exit-with-stdin", is_flag=True, help="Stop when standard input closes.")
def main(
    cluster: Path,
    name: str,
    data: Path,
    metrics: str | None,
    *,
    log_format: LogFormat,
    exit_with_stdin: bool,
) -> None:
    """Run one node of a cluster."""
    log_to_stderr(name, logging.INFO, log_format)
    try:
        config = load_cluster(cluster)
        page = None if metrics is None else Address.parse(metrics, "--metrics")
        node = partial(Node, config, name, data, file=cluster, metrics=page)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_run(node, exit_with_stdin=exit_with_stdin))
    except (ConfigError, StoreError, ListenError, MetricsUnavailable) as exc:
        raise click.ClickException(str(exc)) from exc
    except OSError as exc:
        raise click.ClickException(f"node {name} cannot run: {exc}.") from exc


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop if it is installed: half the CPU per message."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _run(new_node: Callable[[], Node], *, exit_with_stdin: bool) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if exit_with_stdin:
        _die_with_parent()
        loop.add_reader(0, _read_stdin, stop)
    async with new_node() as node:
        settle_collector()
        print(f"ready {node.address}", flush=True)
        await stop.wait()


def _die_with_parent() -> None:
    """Ask Linux for SIGKILL when the parent dies: a node that fault injection has paused would
    never read the end of its standard input. Elsewhere the end of standard input must do."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _read_stdin(stop: asyncio.Event) -> None:
    if not os.read(0, 4096):
        asyncio.get_running_loop().remove_reader(0)
        stop.set()


if __name__ == "__main__":
    main()
