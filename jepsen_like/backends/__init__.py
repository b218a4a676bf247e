"""Networks between hosts that the harness can cut: `proxy` needs no rights and runs anywhere."""

from typing import Final

__all__ = ["AUTO", "BACKENDS"]

AUTO: Final = "auto"
"""Whichever is nearest to a real network and works here."""

BACKENDS: Final = (AUTO, "proxy")
"""What `--backend` and `Test.backend` may say."""
