"""Where the cluster is: finds the `cluster.toml` that a program should use.

The order is the same for every verb and for `Router.open`: what was said, the environment,
the current directory, the directory that `shardrouter up` makes there.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from nodes.cluster_file import load_cluster
from nodes.config import ConfigError

__all__ = ["CLUSTER_VARIABLE", "find_cluster", "load_cluster"]

CLUSTER_VARIABLE: Final = "SHARDROUTER_CLUSTER"
_DEFAULTS: Final = (Path("cluster.toml"), Path("shardrouter-data/cluster.toml"))


def find_cluster(explicit: str | Path | None) -> Path:
    """The file to use: `explicit`, else $SHARDROUTER_CLUSTER, else ./cluster.toml, else
    ./shardrouter-data/cluster.toml.

    What somebody named must exist: falling back would talk to another cluster than the one
    that was meant. Raises ConfigError, naming every place that was looked at.
    """
    if explicit is not None:
        return _named(Path(explicit), "")
    variable = os.environ.get(CLUSTER_VARIABLE)
    if variable:
        return _named(Path(variable), f", named by ${CLUSTER_VARIABLE}")
    for path in _DEFAULTS:
        if path.is_file():
            return path
    places = " and ".join(f"./{path}" for path in _DEFAULTS)
    raise ConfigError(
        f"No cluster found: ${CLUSTER_VARIABLE} is not set, and {places} do not exist in "
        f"{Path.cwd()}. `shardrouter up` makes one; or name a cluster.toml."
    )


def _named(path: Path, by: str) -> Path:
    if path.is_dir():
        path = path / "cluster.toml"
    if not path.is_file():
        raise ConfigError(f"There is no file {path}{by}. `shardrouter up` makes a cluster.")
    return path
