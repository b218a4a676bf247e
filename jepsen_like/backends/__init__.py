"""Networks between hosts that the harness can cut.

`netns` is the kernel's own network and needs Linux; `proxy` needs no rights and runs anywhere.
"""

from typing import Final

__all__ = ["AUTO", "BACKENDS"]

AUTO: Final = "auto"
"""Whichever is nearest to a real network and works here."""

BACKENDS: Final = (AUTO, "proxy", "netns")
"""What `--backend` and `Test.backend` may say."""
