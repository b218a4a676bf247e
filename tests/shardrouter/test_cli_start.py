"""The command line begins quickly: the planner and the parser are for the processes that serve."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("sqlglot", "shardrouter.statement", "shardrouter.session", "nodes.node")


def test_verbs_begin_without_what_only_a_server_needs() -> None:
    asked = f"import sys, shardrouter.cli; print(*[n for n in {HEAVY} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert not done.stdout.split()
