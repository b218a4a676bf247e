"""The verbs of a lab."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from rich.console import Console
from rich.live import Live as Screen

if TYPE_CHECKING:
    from jepsen_like.faults.fault import Planned
    from jepsen_like.lab.server import Setting
    from jepsen_like.lab.status import Status

__all__ = ["lab"]

DIRECTORY: Final = Path("jepsen-lab")

REFRESH_S: Final = 0.5

DOWN_TIMEOUT_S: Final = 60.0

DOWN_POLL_S: Final = 0.1

EXIT_REFUSED: Final = 1


@click.group(
    epilog="A lesson with questions is in docs/lab.md.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
def lab() -> None:
    """Break a cluster by hand, and see what its clients see.

    `up` starts this project's database on this machine, behind links that can be cut, with clients
    that read at every level of consistency and write, and shows how they fare until Ctrl-C. All
    other verbs are for a second terminal. Faults last until they are healed, or --for so long; each
    is looked at before, while it lasts and after, as in a test. No root, no compiler.

    \b
      jepsen-like lab up                   in the first terminal
      jepsen-like lab write 3 42           register 3, from n1
      jepsen-like lab cut leader           who leads shard-1 alone, all others together
      jepsen-like lab read 3               what every host answers at every level
      jepsen-like lab heal
      jepsen-like lab slow 100ms           every round trip between hosts
      jepsen-like lab kill n2; jepsen-like lab pause n3
      jepsen-like lab down

    A host is n1, n2...; leader or leader:shard-2, follower:meta; one, minority (by lot).

    Exit codes: 0 done, 1 the lab refuses, 3 no lab runs there, 64 wrong usage.
    """


where = click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=DIRECTORY,
    show_default=True,
    help="Where the lab is.",
)

lasts = click.option("--for", "lasts", metavar="TIME", help="Heals itself after 10s, 500ms, 2min.")

as_json = click.option("--json", "is_json", is_flag=True, help="For machines.")


@lab.command()
@where
@click.option("--nodes", type=click.IntRange(1, 9), default=3, show_default=True, help="Hosts.")
@click.option("--shards", type=click.IntRange(1, 16), default=3, show_default=True)
@click.option(
    "--load",
    type=click.FloatRange(0, 500),
    default=20.0,
    show_default=True,
    help="Reads and writes per second, over all hosts and levels; 0: none.",
)
@click.option(
    "--window",
    type=click.FloatRange(1, 600),
    default=10.0,
    show_default=True,
    help="Seconds of which figures are shown.",
)
@click.option(
    "--power-cuts",
    is_flag=True,
    help="So that `kill --unsynced-lost` can be asked for; needs a C compiler.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Of the load and all lots.")
@click.option("--quiet", is_flag=True, help="Lines about what happens, and no figures.")
def up(
    directory: Path,
    nodes: int,
    shards: int,
    load: float,
    window: float,
    power_cuts: bool,
    seed: int,
    quiet: bool,
) -> None:
    """Start a cluster and show how its clients fare, until Ctrl-C or `lab down`.

    Everything is in DIR, and gone with it when the lab ends. Where the output is no terminal, or
    in the background, there are lines about what happens instead of figures.

    \b
      jepsen-like lab up
      jepsen-like lab up --nodes 5 --load 60
      jepsen-like lab up --quiet &
    """
    from jepsen_like.adapters.shardrouter import ShardRouter
    from jepsen_like.backends.leftovers import claimed, clean
    from jepsen_like.lab.control import is_alive
    from jepsen_like.lab.server import Setting
    from jepsen_like.runner import Interrupted, run_async

    db = replace(ShardRouter.with_leases(), nodes=nodes, shards=shards, replicas=min(3, nodes))
    setting = Setting(db, load, window, power_cuts, seed)
    if is_alive(directory):
        raise click.ClickException(
            f"a lab runs in {directory} already: `jepsen-like lab status` shows it; or take "
            "another directory with --dir."
        )
    left = clean()
    if left:
        click.echo(f"removed what a killed lab or run had left: {left}", err=True)
    try:
        directory.mkdir(parents=True)
    except FileExistsError as exc:
        raise click.ClickException(
            f"{directory} exists, and is no lab's; take another directory with --dir."
        ) from exc
    interrupted = False
    with claimed(directory):
        try:
            run_async(_keep(setting, directory, quiet))
        except Interrupted:
            interrupted = True  # the usual end of it
        finally:
            shutil.rmtree(directory)
    click.echo(f"the lab is down, {directory} is gone" + (" (interrupted)" if interrupted else ""))


async def _keep(setting: Setting, directory: Path, quiet: bool) -> None:
    """Until it is told to end. Raises ClickException."""
    from jepsen_like.adapters.database import DatabaseError
    from jepsen_like.backends.backend import BackendError
    from jepsen_like.clients import ClientError
    from jepsen_like.interpose import InterposeError
    from jepsen_like.lab.control import NoLab
    from jepsen_like.lab.server import opened
    from jepsen_like.lab.view import shown

    console = Console(highlight=False)
    is_shown = not quiet and _has_terminal()
    try:
        async with opened(setting, directory, console.print) as it:
            console.print(
                f"up: {len(setting.db.hosts)} hosts, {setting.load:g} calls/s; "
                "in another terminal: jepsen-like lab status --watch, jepsen-like lab --help"
            )
            if not is_shown:
                await it.is_over.wait()
                return
            with Screen(console=console, auto_refresh=False, transient=True) as screen:
                while not it.is_over.is_set():
                    screen.update(shown(it.status()), refresh=True)
                    with suppress(TimeoutError):
                        await asyncio.wait_for(it.is_over.wait(), REFRESH_S)
    except (BackendError, DatabaseError, ClientError, InterposeError, NoLab) as exc:
        raise click.ClickException(str(exc)) from exc


def _has_terminal() -> bool:
    """Whether the output is a terminal, and this program in its foreground."""
    try:
        return sys.stdout.isatty() and os.tcgetpgrp(sys.stdout.fileno()) == os.getpgrp()
    except OSError:
        return False


@lab.command()
@where
@as_json
@click.option("--watch", is_flag=True, help="Again and again, until Ctrl-C.")
def status(directory: Path, is_json: bool, watch: bool) -> None:
    """Who leads, who is cut from whom, and how clients fare at each level.

    `12/13 3 ms` of a class on a host: of 13 that ended in the last seconds 12 were answered, half
    of them within 3 ms. STALE reads returned something older than a write that was known when they
    were sent. With --json and --watch a line for each look.

    \b
      jepsen-like lab status
      jepsen-like lab status --watch
      jepsen-like lab status --json
    """
    from jepsen_like.lab.view import shown

    if is_json:
        while True:
            found = _ask(directory, {"do": "status"})
            click.echo(json.dumps(found, indent=None if watch else 1))
            if not watch:
                return
            time.sleep(REFRESH_S)
    console = Console(highlight=False)
    if not watch:
        console.print(shown(_status(directory)))
        return
    with Screen(console=console, auto_refresh=False) as screen:
        while True:
            screen.update(shown(_status(directory)), refresh=True)
            time.sleep(REFRESH_S)


@lab.command()
@where
@lasts
@click.option("--one-way", is_flag=True, help="What it sends is lost; what it is sent arrives.")
@click.argument("who", nargs=-1, required=True)
def cut(directory: Path, lasts: str | None, one_way: bool, who: tuple[str, ...]) -> None:
    """Cut links: one host from all others, or sides from each other.

    A host is what a cut keeps together: a node, the router beside it and the clients of that
    router. Nothing is refused or reset: what is sent waits, as in a real partition. Also `halves`,
    `bridge` (only one host reaches both halves), `ring` (each hears a majority of its own).

    \b
      jepsen-like lab cut n1
      jepsen-like lab cut leader:shard-2 --for 20s
      jepsen-like lab cut n1 n2,n3
      jepsen-like lab cut leader --one-way
    """
    from jepsen_like.lab import orders

    _strike(directory, lambda: orders.cut(who, one_way=one_way, lasts=lasts))


@lab.command()
@where
@lasts
@click.option("--of", metavar="HOST", help="Only its links.")
@click.argument("rtt")
def slow(directory: Path, lasts: str | None, of: str | None, rtt: str) -> None:
    """Add RTT to every round trip between hosts, or between one and the others.

    What a client says to the router beside it is as fast as ever.

    \b
      jepsen-like lab slow 100ms
      jepsen-like lab slow 50ms --of n3
    """
    from jepsen_like.lab import orders

    _strike(directory, lambda: orders.slow(rtt, of, lasts=lasts))


@lab.command()
@where
@lasts
@click.option(
    "--unsynced-lost",
    is_flag=True,
    help="As if the machine lost its power: what was written and not synced is gone.",
)
@click.argument("who")
def kill(directory: Path, lasts: str | None, unsynced_lost: bool, who: str) -> None:
    """Kill a node (SIGKILL); `heal` starts it again. The router beside it lives on.

    --unsynced-lost needs a lab that was started with --power-cuts.

    \b
      jepsen-like lab kill n2
      jepsen-like lab kill leader --for 5s
    """
    from jepsen_like.lab import orders

    _strike(directory, lambda: orders.kill(who, loses_unsynced=unsynced_lost, lasts=lasts))


@lab.command()
@where
@lasts
@click.argument("who")
def pause(directory: Path, lasts: str | None, who: str) -> None:
    """Stop a node without ending it (SIGSTOP), as a machine that stands still; `resume` ends it.

    \b
      jepsen-like lab pause n3
      jepsen-like lab pause leader --for 2s
    """
    from jepsen_like.lab import orders

    _strike(directory, lambda: orders.pause(who, lasts=lasts))


@lab.command()
@where
@as_json
@click.option("-v", "--verbose", is_flag=True, help="All that was seen of each fault.")
def resume(directory: Path, is_json: bool, verbose: bool) -> None:
    """Let nodes that were paused go on.

    \b
      jepsen-like lab resume
    """
    _heal(directory, {"do": "heal", "kind": "pause"}, is_json, verbose)


@lab.command()
@where
@as_json
@click.option("-v", "--verbose", is_flag=True, help="All that was seen of each fault.")
@click.argument("number", nargs=-1, type=int)
def heal(directory: Path, is_json: bool, verbose: bool, number: tuple[int, ...]) -> None:
    """Heal everything, or the faults with these numbers: links carry, dead nodes start again.

    Says of each whether it was verified: seen to begin, last and end as asked. Connections go on
    when TCP tries again, which takes up to as long as the cut did.

    \b
      jepsen-like lab heal
      jepsen-like lab heal 2 --verbose
    """
    question = {"do": "heal", **({"numbers": list(number)} if number else {})}
    _heal(directory, question, is_json, verbose)


@lab.command()
@where
@as_json
@click.option("--at", "hosts", multiple=True, metavar="HOST", help="Only this one's clients ask.")
@click.argument("key", type=int)
def read(directory: Path, is_json: bool, hosts: tuple[str, ...], key: int) -> None:
    """Read register KEY (0 to 9) from every host at every level, all at once.

    \b
      jepsen-like lab read 3
      jepsen-like lab read 3 --at n1
    """
    told = _ask(directory, {"do": "read", "key": key, "hosts": list(hosts)})
    _show_answers(directory, told, is_json)


@lab.command()
@where
@as_json
@click.option("--at", "host", default="n1", show_default=True, metavar="HOST", help="Who writes.")
@click.argument("key", type=int)
@click.argument("value", type=int)
def write(directory: Path, is_json: bool, host: str, key: int, value: int) -> None:
    """Write VALUE into register KEY (0 to 9), as a client of a host.

    It is written in that client's session: what it reads at level `session` is no older.

    Exit code 1 if the write was refused, or nobody answered: then it may have happened.

    \b
      jepsen-like lab write 3 42
      jepsen-like lab write 3 43 --at n2
    """
    told = _ask(directory, {"do": "write", "key": key, "value": value, "host": host})
    (said,) = told["said"]
    if is_json:
        click.echo(json.dumps(told, indent=1))
    elif said["outcome"] == "ok":
        ms = said["took_ns"] / 1e6
        click.echo(f"written at {host}, to {told['group']}: acknowledged after {ms:.1f} ms")
    elif said["outcome"] == "fail":
        click.echo(f"refused at {host}; it has not happened: {said['error']}")
    else:
        click.echo(f"no answer at {host}; it may have happened: {said['error']}")
    sys.exit(0 if said["outcome"] == "ok" else EXIT_REFUSED)


@lab.command()
@where
def down(directory: Path) -> None:
    """End the lab and remove its directory; also what is left of one that was killed.

    \b
      jepsen-like lab down
    """
    from jepsen_like.backends.leftovers import clean
    from jepsen_like.lab.control import NoLab, Refusal, ask

    try:
        ask(directory, {"do": "down"}, click.echo)
    except (NoLab, Refusal) as exc:
        left = clean()
        if not left:
            raise click.ClickException(str(exc)) from exc
        click.echo(f"removed what a killed lab or run had left: {left}")
        return
    give_up = time.monotonic() + DOWN_TIMEOUT_S
    while directory.exists():
        if time.monotonic() > give_up:
            raise click.ClickException(f"the lab in {directory} does not end: see its terminal.")
        time.sleep(DOWN_POLL_S)
    click.echo(f"the lab is down, {directory} is gone")


# ------------------------------------------------------------------------------ asking


def _ask(directory: Path, question: dict[str, Any]) -> dict[str, Any]:
    """What came of it, with what the lab says on standard error; ends the program if nothing."""
    from jepsen_like.lab.control import NoLab, Refusal, ask

    try:
        return ask(directory, question, lambda line: click.echo(line, err=True))
    except NoLab as exc:
        raise click.ClickException(str(exc)) from exc
    except Refusal as exc:
        click.echo(f"refused: {exc}", err=True)
        sys.exit(EXIT_REFUSED)


def _status(directory: Path) -> Status:
    from jepsen_like.lab.status import from_data

    return from_data(_ask(directory, {"do": "status"}))


def _strike(directory: Path, order: Callable[[], Planned]) -> None:
    from jepsen_like.faults import written
    from jepsen_like.lab.orders import OrderError

    try:
        fault = order()
    except OrderError as exc:
        raise click.UsageError(str(exc)) from exc
    told = _ask(directory, {"do": "strike", "fault": written.written(fault)})
    click.echo(f"fault {told['number']}: {told['name']}; `jepsen-like lab heal` ends it")


def _heal(directory: Path, question: dict[str, Any], is_json: bool, verbose: bool) -> None:
    from jepsen_like.lab.view import healed_in_words

    told = _ask(directory, question)
    if is_json:
        click.echo(json.dumps(told, indent=1))
    else:
        click.echo("\n".join(healed_in_words(told, in_full=verbose)))


def _show_answers(directory: Path, told: dict[str, Any], is_json: bool) -> None:
    from jepsen_like.lab.view import answers

    if is_json:
        click.echo(json.dumps(told, indent=1))
    else:
        Console(highlight=False).print(answers(told, _status(directory).levels))
