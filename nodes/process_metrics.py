"""What every process says of itself on `/metrics`, under the names that Prometheus gives it."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from nodes.metrics import Family, family

__all__ = ["process_families"]

_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


def process_families() -> Iterator[Family]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    yield family(
        "process_cpu_seconds_total",
        "counter",
        "CPU time of the process.",
        used.ru_utime + used.ru_stime,
    )
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:  # not Linux: nobody knows it as of now
        return
    yield family(
        "process_resident_memory_bytes",
        "gauge",
        "Memory of the process that is in use.",
        pages * _PAGE_BYTES,
    )
