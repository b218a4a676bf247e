"""A node whose disk is watched by the recorder; started in the place of `python -m nodes`:

    python node.py RECORDER KEEP full|off --cluster ... --name ... --data DIR/data ...

The journal and the control file lie beside the data directory. KEEP entries stay in a log
behind the applied index, so that compaction and snapshots happen every second or so. With `off`
the log store does not wait for the disk: the positive control, and no switch of a node.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from pathlib import Path

SYNC_US = 200
"""What an fsync takes: as long as a fast disk, whatever else this machine does."""


def begin_again_recorded(recorder: str) -> None:
    """Become the same process with the recorder loaded."""
    data = Path(sys.argv[sys.argv.index("--data") + 1])
    environment = {
        "LD_PRELOAD": recorder,
        "POWER_ROOT": str(data),
        "POWER_JOURNAL": str(data.with_name("power.journal")),
        "POWER_CONTROL": str(data.with_name("power.control")),
        "POWER_SYNC_US": str(SYNC_US),
    }
    os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | environment)


def keep_little(entries: int) -> None:
    from nodes import snapshot_transfer

    for name, value in (("KEEP_ENTRIES", entries), ("CUT_ENTRIES", entries // 3)):
        assert hasattr(snapshot_transfer, name)
        setattr(snapshot_transfer, name, value)


def wait_for_no_disk() -> None:
    from nodes import log_file

    configure = log_file._configure

    def configure_and_hope(connection: sqlite3.Connection) -> None:
        configure(connection)
        connection.execute("PRAGMA synchronous = OFF")

    log_file._configure = configure_and_hope


if __name__ == "__main__":
    if "LD_PRELOAD" not in os.environ:
        begin_again_recorded(sys.argv[1])
    keep, synchronous = int(sys.argv[2]), sys.argv[3]
    del os.environ["LD_PRELOAD"], sys.argv[1:4]
    keep_little(keep)
    if synchronous == "off":
        wait_for_no_disk()
    from nodes.__main__ import main

    main()
