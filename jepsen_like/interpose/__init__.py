"""A library in C that stands between a process and its C library (LD_PRELOAD), and what the harness
knows of it: the clocks of the process move, its disk fails or is slow, and what it wrote without
an fsync is lost when it is killed.

It reaches programs that call the C library for these things, as most do. A program that makes
its own system calls (a static binary, as Go makes them) is not reached, and a database of such
programs does not offer it (`adapters.database.Offer.PRELOAD`).
"""

from jepsen_like.interpose.control import Clock, ClockSetting, Control, Report
from jepsen_like.interpose.disk import NotModelled, Survival
from jepsen_like.interpose.instruments import Instrument, Instruments, Loss, PowerCut
from jepsen_like.interpose.library import InterposeError, build

__all__ = [
    "Clock",
    "ClockSetting",
    "Control",
    "Report",
    "Instrument",
    "Instruments",
    "InterposeError",
    "Loss",
    "NotModelled",
    "PowerCut",
    "Survival",
    "build",
]
