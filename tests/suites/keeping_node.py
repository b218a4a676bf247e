"""A node that never cuts its logs for their bytes, so that they can be replayed from their first
entry: how many entries they keep its cluster.toml says (`served`).

Started in the place of `python -m nodes`, with the same options.
"""

from __future__ import annotations

from nodes import snapshot_transfer
from nodes.__main__ import main

NEVER = 1 << 60


def keep_all_bytes() -> None:
    name = "KEEP_BYTES"
    assert isinstance(getattr(snapshot_transfer, name), int), f"there is no {name} to raise"
    setattr(snapshot_transfer, name, NEVER)


if __name__ == "__main__":
    keep_all_bytes()
    main()
