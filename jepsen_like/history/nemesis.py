"""What Jepsen's nemesis did, from its events: windows of time in which something was broken.

A nemesis does one thing at a time and logs each twice in a row, when it is asked for and when it
is done, both as `:info`. What begins and what ends a fault is told by names: `:start` and
`:stop`, `:start-x` and `:stop-x`, `:kill` and `:start`, `:pause` and `:resume`, clocks that are
bumped or strobed and `:reset`. A fault lasts from when it was asked for until its end was done:
as long as it may have been at work. What is neither a beginning nor an end lasts as long as it
took. A fault that nothing ends is open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from jepsen_like.history.edn import Keyword
from jepsen_like.history.fault_window import NAME_CHARACTERS_MAX, FaultWindow

__all__ = ["Nemesis", "events_of"]

_ENDS: Final = {
    "stop": ("start",),
    "start": ("kill",),
    "restart": ("kill",),
    "resume": ("pause",),
    "heal": ("partition",),
    "reset": ("bump", "strobe"),
    "reset-clock": ("bump-clock", "strobe-clock"),
}
_BEGINS: Final = frozenset(begins for all_ in _ENDS.values() for begins in all_)


@dataclass
class _Window:
    kind: str
    line: int
    start_ns: int
    about: str
    lasts: bool  # until something ends it
    end_ns: int | None = None
    verified: bool | None = None

    @property
    def name(self) -> str:
        # `:start` says nothing; what it did stands in its value
        words = [self.about] if self.kind == "start" and self.about else [self.kind, self.about]
        return " ".join(word for word in words if word)[:NAME_CHARACTERS_MAX]


class Nemesis:
    """Fed with the events of one nemesis in the order of the log."""

    def __init__(self) -> None:
        self._windows: list[_Window] = []
        self._asked = ""  # what was asked for, and is not done yet
        self._done: Callable[[str, int], None] = _nothing

    def event(
        self, line: int, f: str, about: str, at_ns: int, *, verified: bool | None = None
    ) -> None:
        """`about`: its value as text; `verified`: as `events_of` writes it, of an end."""
        if self._asked == f:
            self._asked = ""
            self._done(about, at_ns)
            return
        self._asked = f
        ended = [w for w in self._windows if w.kind in _ended_by(f) and w.end_ns is None]
        if ended:
            named = [window for window in ended if window.name == about]
            self._end(named or ended, at_ns, verified)
        elif f.startswith("stop-") or (f in _ENDS and f not in _BEGINS):
            self._done = _nothing  # it ends what was not going on
        else:
            self._begin(line, f, about, at_ns)

    def _begin(self, line: int, f: str, about: str, at_ns: int) -> None:
        lasts = f in _BEGINS or f.startswith("start-")
        window = _Window(f.removeprefix("start-"), line, at_ns, about, lasts)
        window.end_ns = None if lasts else at_ns
        self._windows.append(window)

        def done(about: str, at_ns: int) -> None:
            window.about = about or window.about
            window.end_ns = None if lasts else at_ns

        self._done = done

    def _end(self, windows: list[_Window], at_ns: int, verified: bool | None) -> None:
        def done(_about: str, at_ns: int) -> None:
            for window in windows:
                window.end_ns = at_ns
                window.verified = verified

        done("", at_ns)
        self._done = done

    def faults(self) -> Iterator[FaultWindow]:
        for w in self._windows:
            yield FaultWindow(w.name, w.start_ns, w.end_ns, w.verified, w.line)


def _nothing(_about: str, _at_ns: int) -> None:
    pass


def _ended_by(f: str) -> tuple[str, ...]:
    return (f.removeprefix("stop-"),) if f.startswith("stop-") else _ENDS.get(f, ())


def events_of(fault: FaultWindow) -> Iterator[tuple[int, list[tuple[Keyword, Any]]]]:
    """(time, event) of a fault, for a log of Jepsen's."""
    for at, f in ((fault.start_ns, "start"), (fault.end_ns, "stop")):
        if at is None:
            continue
        event: list[tuple[Keyword, Any]] = [
            (Keyword("process"), Keyword("nemesis")),
            (Keyword("type"), Keyword("info")),
            (Keyword("f"), Keyword(f)),
            (Keyword("value"), fault.name),
            (Keyword("time"), at),
        ]
        if f == "stop" and fault.verified is not None:
            event.append((Keyword("verified"), fault.verified))
        yield from ((at, event), (at, event))
