"""A Jepsen in Python: run a database, break its world, record what clients saw, judge it.

    from jepsen_like import Test, checks, faults, leader_of, load, workloads

`history`, `models` and `checks` need the standard library only. Importing the package brings
in nothing else either: `Test` and `leader_of` are looked up when they are first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jepsen_like import checks, faults, load, models, workloads
    from jepsen_like.faults.targets import leader_of
    from jepsen_like.runner import run
    from jepsen_like.spec import Test

__all__ = ["Test", "run", "leader_of", "checks", "faults", "load", "models", "workloads"]

_HOMES = {
    "Test": "jepsen_like.spec",
    "run": "jepsen_like.runner",
    "leader_of": "jepsen_like.faults.targets",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in __all__:
        return import_module(f"jepsen_like.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
