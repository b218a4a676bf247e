"""A program of this database with one of its settings left out, for the question what that buys:

python -m bench.varied SETTING shardrouter|nodes ARGUMENTS...
"""

from __future__ import annotations

import gc
import runpy
import sys
from typing import Final

from nodes import collector

__all__ = ["COLLECTOR", "LOOP", "command"]

LOOP: Final = "loop"
"""asyncio's own event loop instead of uvloop's."""

COLLECTOR: Final = "collector"
"""Python's garbage collector as it is when a program starts."""

_PROGRAMS: Final = {"shardrouter": "shardrouter.cli", "nodes": "nodes"}


def command(left_out: str, program: str) -> tuple[str, ...]:
    """What starts `program` without that setting; as it is, without a name."""
    if not left_out:
        return (sys.executable, "-m", _PROGRAMS[program])
    return (sys.executable, "-m", __name__, left_out, program)


def main() -> None:
    _, left_out, program, *arguments = sys.argv
    match left_out:
        case "loop":
            sys.modules["uvloop"] = None  # type: ignore[assignment]  # importing it fails
        case "collector":
            collector.settle_collector = lambda: None
        case _:
            sys.exit(f"no setting is called {left_out}")
    assert gc.get_threshold() != collector.THRESHOLDS, "nothing has set it before"
    sys.argv = [program, *arguments]
    runpy.run_module(_PROGRAMS[program], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
