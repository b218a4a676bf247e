"""When a node's replicas are gone: what `node remove` and `replica rebuild` have to know first.

The word of a group's leader counts, and only if its last change is committed: then nobody can
lead the group any more without a member that knows of the removals (nodes/whose_files.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from nodes.config import ClusterConfig, ConfigError
from nodes.protocol import Status
from shardrouter.moves import view_of

__all__ = ["accepting", "keeps", "require_unused"]


def keeps(group: str, node: str, statuses: Mapping[str, Status | None]) -> str:
    """Why `node` has to stay for `group`; empty if it need not."""
    view = view_of(group, statuses)
    if view.leader is None:
        return (
            f"group {group} has no leader that answers, so nobody knows whether {node} is needed; "
            "see `shardrouter status`."
        )
    if view.on(node) is not None or view.is_changing:
        return (
            f"node {node} hosts a replica of {group}, or will; first: shardrouter node drain {node}"
        )
    return ""


def require_unused(config: ClusterConfig, node: str, statuses: Mapping[str, Status | None]) -> None:
    """Raise ConfigError unless every group says that it has no replica on `node`."""
    for group in config.groups:
        if why := keeps(group, node, statuses):
            raise ConfigError(why)


def accepting(
    node: str, data_id: str, statuses: Mapping[str, Status | None]
) -> Callable[[ClusterConfig], ClusterConfig]:
    """The change (`cluster_change`) by which everybody listens to the new files of `node`.

    It raises ConfigError while a group has a replica there: one of those from before, for the
    new files get theirs only after this.
    """

    def accept(config: ClusterConfig) -> ClusterConfig:
        known = config.nodes.get(node)
        if known is None:
            raise ConfigError(f"there is no node {node}; there are {', '.join(config.nodes)}.")
        if known.data_id == data_id:
            return config
        require_unused(config, node, statuses)
        return replace(config, nodes={**config.nodes, node: replace(known, data_id=data_id)})

    return accept
