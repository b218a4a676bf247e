"""Which cluster.toml a node goes by, while it runs, and how a newer one comes to it.

A text is taken if it is of this cluster and has a higher revision than the one in use: it is
written, durably, before anything is done by it. Nodes tell their revision when they greet.
Whoever is behind asks for the text, and whoever took a new one offers it to the others; so
whoever is connected to anybody that knows, learns it too, and a node that was down learns it
when it comes back. What a revision is, and that two never have the same, is `meta`'s business
(docs/membership.md).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from nodes.client import NodeClient
from nodes.cluster_file import write_cluster
from nodes.config import ClusterConfig, ConfigError, format_cluster, parse_cluster
from nodes.protocol import ClusterText, Denied, GetCluster, RequestBody, ResponseBody, SetCluster

__all__ = ["Description"]

TELL_TIMEOUT_S: Final = 5.0
"""For one text on its way to or from another node."""

_log = logging.getLogger(__name__)


class Description:
    """`config` is what is gone by; `changed` is called with each that takes its place. Without a
    `path` nothing is written. Used from one event loop."""

    def __init__(
        self,
        config: ClusterConfig,
        node: str,
        *,
        path: Path | None,
        changed: Callable[[ClusterConfig], None],
    ) -> None:
        self.config = config
        self._node = node
        self._path = path
        self._changed = changed
        self._telling: dict[tuple[str, bool], asyncio.Task[None]] = {}  # of each kind, one a node

    def text(self) -> ClusterText:
        return ClusterText(self.config.revision, format_cluster(self.config))

    def take(self, text: str) -> ClusterText | Denied:
        """The description that is gone by then: `text`, or one as new; or why not `text`."""
        try:
            new = replace(parse_cluster(text, "the new cluster.toml"), secret=self.config.secret)
        except ConfigError as exc:
            return Denied(str(exc))
        if why := self._objection(new):
            return Denied(why)
        if new.revision > self.config.revision:
            try:
                if self._path is not None:
                    write_cluster(self._path, new)
            except OSError as exc:
                return Denied(f"node {self._node} cannot write {self._path}: {exc}.")
            _log.info("cluster.toml has revision %d now", new.revision)
            self.config = new
            self._changed(new)
            for other in new.nodes:
                self._begin(other, asks=False)
        return self.text()

    def _objection(self, new: ClusterConfig) -> str:
        old = self.config
        if new.cluster_id != old.cluster_id:
            return f"node {self._node} belongs to cluster {old.cluster_id}, not {new.cluster_id}."
        if self._node not in new.nodes and new.revision > old.revision:
            return f"node {self._node} is no longer in the cluster: stop it."
        if new.groups != old.groups or new.engine != old.engine or new.raft != old.raft:
            return "founders of groups, engine and [raft] stay as they were when it was made."
        return ""

    def greeted(self, node: str, revision: int) -> None:
        """`node` has told its revision."""
        if revision != self.config.revision:
            self._begin(node, asks=revision > self.config.revision)

    def _begin(self, node: str, *, asks: bool) -> None:
        key = (node, asks)
        if node != self._node and node in self.config.nodes and key not in self._telling:
            task = asyncio.get_running_loop().create_task(self._talk(node, asks=asks))
            self._telling[key] = task
            task.add_done_callback(lambda _task: self._telling.pop(key, None))

    async def _talk(self, node: str, *, asks: bool) -> None:
        """Ask `node` for its text, or give it this one, and the next if there is one by then."""
        revision = -1
        while revision < self.config.revision:
            config, revision = self.config, self.config.revision
            body: RequestBody = GetCluster() if asks else SetCluster(format_cluster(config))
            client = NodeClient.to(node, config, name=self._node)
            try:
                answer: ResponseBody = await client.call("", body, TELL_TIMEOUT_S)
            except ConnectionError:
                return  # it learns the text when it greets somebody
            finally:
                await client.close()
            if isinstance(answer, ClusterText) and answer.revision > self.config.revision:
                answer = self.take(answer.text)
            if isinstance(answer, Denied):
                _log.warning(
                    "cluster.toml and node %s: %s", node, answer.reason, extra={"node": node}
                )
            if asks or node not in self.config.nodes:
                return

    async def close(self) -> None:
        tasks = list(self._telling.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
