"""The verb `top`: what a cluster does just now, again and again."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Final

import click

from nodes.config import Address, ClusterConfig, ConfigError
from nodes.metrics import Samples
from nodes.scraping import ScrapeError, scrape
from shardrouter.activity import Activity, Look, activity
from shardrouter.cli.look import WIDE, cluster_option, located
from shardrouter.cli.run import run_async
from shardrouter.health import health_of

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["top"]

LOOK_TIMEOUT_S: Final = 1.0
"""How long a node or a page may take: what hangs must not hang the screen."""

NO_PAGE: Final = "no metrics address in cluster.toml"


@click.command(short_help="Show what the cluster does just now.")
@cluster_option
@click.option(
    "--router",
    "routers",
    multiple=True,
    metavar="HOST:PORT",
    help="/metrics of a router, for each.  [default: the one of cluster.toml]",
)
@click.option(
    "--interval",
    type=click.FloatRange(0.1, 3600),
    default=2.0,
    show_default=True,
    help="Seconds between two looks.",
)
@click.option("--once", is_flag=True, help="Print one interval, and leave.")
@click.option("--json", "as_json", is_flag=True, help="For machines: an object for each interval.")
def top(
    cluster_file: str | None, routers: tuple[str, ...], interval: float, once: bool, as_json: bool
) -> None:
    """Show what the cluster does: statements a second, latencies, leaders, lag, slow nodes.

    Rates and latencies come from /metrics (`shardrouter up --metrics-port`, or `metrics` in
    cluster.toml); without it there is what nodes say of themselves. Ctrl-C leaves.

    \b
      shardrouter top
      shardrouter top --once --json
    """
    _, config = located(cluster_file)
    try:
        pages = [Address.parse(text, "--router") for text in routers]
    except ConfigError as exc:
        raise click.ClickException(str(exc)) from exc
    if not pages and config.router_metrics is not None:
        pages = [config.router_metrics]
    try:
        run_async(_watch(config, pages, interval, once=once, as_json=as_json))
    except KeyboardInterrupt:
        sys.exit(130)


async def _watch(
    config: ClusterConfig, routers: list[Address], interval: float, *, once: bool, as_json: bool
) -> None:
    from rich.console import Console
    from rich.live import Live

    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDE)
    before = await _look(config, routers)
    is_live = console.is_terminal and not once and not as_json
    display = Live(console=console, screen=True, auto_refresh=False) if is_live else nullcontext()
    with display as live:
        while True:
            await asyncio.sleep(interval)
            now = await _look(config, routers)
            seen = activity(before, now)
            if as_json:
                click.echo(json.dumps(seen.to_json()))
            elif live is not None:
                live.update(screen(seen), refresh=True)
            else:
                console.print(screen(seen))
            if once:
                return
            before = now


async def _look(config: ClusterConfig, routers: list[Address]) -> Look:
    from shardrouter.router import node_answers

    loop = asyncio.get_running_loop()
    nodes = {node.name: node.metrics for node in config.nodes.values()}
    answers, of_routers, of_nodes = await asyncio.gather(
        node_answers(config, timeout=LOOK_TIMEOUT_S),
        asyncio.gather(*map(_page, routers)),
        asyncio.gather(*map(_page, nodes.values())),
    )
    return Look(
        loop.time(),
        health_of(config, answers),
        dict(zip(map(str, routers), of_routers, strict=True)),
        dict(zip(nodes, of_nodes, strict=True)),
    )


async def _page(address: Address | None) -> Samples | str:
    if address is None:
        return NO_PAGE
    try:
        return await scrape(address, LOOK_TIMEOUT_S)
    except ScrapeError as exc:
        return str(exc)


# ------------------------------------------------------------------------------ the screen


def screen(seen: Activity) -> RenderableType:
    """Three tables, and what needs somebody."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    def table(title: str, *columns: str) -> Table:
        made = Table(box=None, pad_edge=False, title=title, title_justify="left")
        for place, column in enumerate(columns):
            made.add_column(column, justify="right" if place else "left", no_wrap=True)
        return made

    routers = table(
        "routers",
        *("router", "statements/s", "p50 ms", "p99 ms", "failed/s", "conflicts/s", "unknown/s"),
        "clients",
    )
    for name, router in seen.routers.items():
        routers.add_row(
            name,
            *(
                [router.why]
                if router.why
                else map(
                    _figure,
                    (
                        router.statements_s,
                        router.p50_ms,
                        router.p99_ms,
                        router.failed_s,
                        router.conflicts_s,
                        router.unknown_s,
                        router.clients,
                    ),
                )
            ),
        )
    groups = table(
        "groups",
        *("group", "leader", "term", "entries/s", "commit p99 ms", "lag", "prepared", "elections"),
    )
    for name, group in seen.groups.items():
        figures = (group.entries_s, group.commit_p99_ms, group.lag, group.prepared, group.elections)
        leader = group.leader or "[red]none[/red]"
        groups.add_row(name, leader, _figure(group.term), *map(_figure, figures))
    nodes = table(
        "nodes",
        *("node", "leads", "requests/s", "waiting", "late ms", "fsync p99 ms", "cores", "MiB", ""),
    )
    for name, node in seen.nodes.items():
        memory = None if node.memory_bytes is None else node.memory_bytes / 2**20
        of_log = (node.requests_s, node.waiting, node.late_ms, node.fsync_p99_ms)
        state = "[red]slow[/red]" if node.slow else "" if node.answers else "[red]silent[/red]"
        nodes.add_row(name, str(node.leads), *map(_figure, (*of_log, node.cpu, memory)), state)
    lines = [Text(line, style="red") for line in seen.missing]
    shown = [routers] if seen.routers else []
    return Group(*shown, groups, nodes, *lines)


def _figure(value: float | None) -> str:
    """Three digits that matter."""
    if value is None:
        return "-"
    if value >= 100 or value == int(value):
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
