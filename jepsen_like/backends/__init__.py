"""Networks between hosts that the harness can cut.

`netns` is the kernel's own network and needs Linux; `proxy` needs no rights and runs anywhere.
"""

from typing import Final

__all__ = ["AUTO", "BACKENDS", "PROXY"]

AUTO: Final = "auto"
"""Whichever is nearest to a real network and works here."""

PROXY: Final = "proxy"
"""What a test that says nothing gets: the same on every machine."""

BACKENDS: Final = (AUTO, PROXY, "netns")
"""What `--backend` and `Test.backend` may say."""
