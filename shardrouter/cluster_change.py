"""Changes cluster.toml while the cluster serves: one change after the other, and all know it.

A change is a write in `meta`, guarded by the revision it was made from: of two that are made at
once, one is refused and begins again from the other's. So no two texts ever have the same
revision. The winner's text is kept there, then given to the nodes; a tool that dies in between
leaves a text that the next one gives to them first.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from nodes.client import NodeClient
from nodes.cluster_file import write_cluster
from nodes.config import META_GROUP, ClusterConfig, ConfigError, format_cluster, parse_cluster
from nodes.protocol import (
    ClusterText,
    Denied,
    Done,
    GetCluster,
    Guard,
    RequestBody,
    ResponseBody,
    SetCluster,
    SetVersion,
    Stale,
    Statement,
)
from shardrouter.shards import Shards

__all__ = ["change_cluster", "known_cluster"]

OBJECT: Final = "cluster"
"""Its version in `meta` is the revision of the newest text."""

LOOK_TIMEOUT_S: Final = 2.0
"""How long a node may take to tell or to take a text."""

META_TIMEOUT_S: Final = 20.0
"""How long `meta` may take, an election included."""

TRIES: Final = 10
"""How often somebody else's change may come first."""

_TABLE: Final = Statement(
    'CREATE TABLE "cluster_description" ("id" INTEGER NOT NULL, "text" TEXT NOT NULL, '
    'PRIMARY KEY ("id")) STRICT, WITHOUT ROWID'
)
_SELECT: Final = Statement('SELECT "text" FROM "cluster_description"')
_NOTHING: Final = Statement("SELECT 1")


def _store(text: str, *, first: bool) -> tuple[Statement, ...]:
    if first:
        insert = Statement(
            'INSERT INTO "cluster_description" ("id", "text") VALUES (1, ?1)', (text,)
        )
        return (_TABLE, insert)
    return (Statement('UPDATE "cluster_description" SET "text" = ?1 WHERE "id" = 1', (text,)),)


async def known_cluster(config: ClusterConfig) -> ClusterConfig:
    """The newest description that `config` or a node goes by that answers."""
    newest = config
    for answer in (await _ask(config, config.nodes, GetCluster())).values():
        if isinstance(answer, ClusterText) and answer.revision > newest.revision:
            newest = _parsed(answer.text, config)
    return newest


async def change_cluster(
    path: Path, config: ClusterConfig, change: Callable[[ClusterConfig], ClusterConfig]
) -> tuple[ClusterConfig, list[str]]:
    """Make `change` of the newest description, and have the nodes, and the file at `path`, go by
    it. Returns it, and who does not know it yet: they learn it when they come back.

    `config` is what that file holds. `change` may be called several times; if it returns what it
    was given, nothing is changed.
    Raises ConfigError, and RouterError if `meta` does not answer.
    """
    for _ in range(TRIES):
        old = await known_cluster(config)
        async with _shards(old) as shards:
            kept = await _kept(shards, old)
            if kept.revision > old.revision:  # somebody's change, which he did not live to spread
                await _spread(path, config, kept)
                old = kept
            new = change(old)
            if new == old:
                return old, await _spread(path, config, old)
            new = replace(new, revision=old.revision + 1)
            text = format_cluster(new)
            parse_cluster(text, "the new cluster.toml")
            done = await shards.write(
                META_GROUP,
                _store(text, first=old.revision == 0),
                guards=(Guard(OBJECT, old.revision),),
                sets=(SetVersion(OBJECT, new.revision),),
                deadline=asyncio.get_running_loop().time() + META_TIMEOUT_S,
            )
        if isinstance(done, Done):
            return new, await _spread(path, config, new)
    raise ConfigError("others change cluster.toml all the time; try again.")


async def _kept(shards: Shards, known: ClusterConfig) -> ClusterConfig:
    """The newest description, as `meta` has it; `known` if it has that."""
    deadline = asyncio.get_running_loop().time() + META_TIMEOUT_S
    revision = known.revision
    for _ in range(TRIES):
        newer = revision > known.revision
        found = await shards.read(
            META_GROUP,
            (_SELECT if newer else _NOTHING,),
            guards=(Guard(OBJECT, revision),),
            deadline=deadline,
        )
        if isinstance(found, Stale):
            revision = found.have
            if revision < known.revision:
                raise ConfigError(
                    f"cluster.toml has revision {known.revision}, but the cluster knows of "
                    f"{revision} only; use the file of a node's host."
                )
        elif newer:
            return _parsed(str(found.results[0].values[0][0]), known)
        else:
            return known
    raise ConfigError("others change cluster.toml all the time; try again.")


async def _spread(path: Path, config: ClusterConfig, new: ClusterConfig) -> list[str]:
    """Give `new` to everybody it names, and to the file. Returns who did not take it."""
    if new.revision != config.revision:
        write_cluster(path, new)
    answers = await _ask(new, new.nodes, SetCluster(format_cluster(new)))
    for answer in answers.values():
        if isinstance(answer, Denied):
            raise ConfigError(answer.reason)
    return [
        node
        for node, answer in answers.items()
        if not isinstance(answer, ClusterText) or answer.revision < new.revision
    ]


async def _ask(
    config: ClusterConfig, nodes: Iterable[str], body: RequestBody
) -> dict[str, ResponseBody | None]:
    async def ask(node: str) -> ResponseBody | None:
        client = NodeClient.to(node, config, name="cluster")
        try:
            return await client.call("", body, LOOK_TIMEOUT_S)
        except ConnectionError:
            return None
        finally:
            await client.close()

    names = list(nodes)
    return dict(zip(names, await asyncio.gather(*map(ask, names)), strict=True))


def _parsed(text: str, like: ClusterConfig) -> ClusterConfig:
    return replace(parse_cluster(text, "the cluster's cluster.toml"), secret=like.secret)


@asynccontextmanager
async def _shards(config: ClusterConfig) -> AsyncIterator[Shards]:
    async with AsyncExitStack() as stack:
        shards = Shards(config, name="cluster", rng=random.Random())
        stack.push_async_callback(shards.close)
        yield shards
