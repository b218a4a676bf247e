"""One group's part in a read of several groups at one instant: a place for a read transaction, a
gate, the pin behind it, and the word that it held (`nodes.gates`).

    CloseGate     a place is reserved, the gate closed; when the state is there it is pinned
    ConfirmGate   the gate opens; a quorum is asked; then the pin may be read (`Read.pin`)
    OpenGate      neither

A router may vanish at any step: the gate opens by itself, and a pin that nobody has confirmed ends
soon after; one that was confirmed is a cursor (`nodes.cursors`), and ends as those do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple, Protocol

from nodes.engine import Engine
from nodes.protocol import (
    Busy,
    CloseCursor,
    CloseGate,
    ConfirmGate,
    Done,
    NotPinned,
    OpenGate,
    Pinned,
    ResponseBody,
    SqlFailure,
)
from nodes.two_phase import touched_by
from nodes.work import Work

__all__ = ["Instants", "PinningMachine"]

CONFIRM_S_MAX: Final = 1.0
"""A pin that is not confirmed by then ends."""

CLOSING_MAX: Final = 256
"""Snapshots of one group that wait for a place or a gate; more are told to try again."""

_MANY: Final = NotPinned(f"{CLOSING_MAX} snapshots are waiting")
_TWICE: Final = NotPinned("the snapshot is known already")


class PinningMachine(Protocol):
    """What it asks of the state machine."""

    async def reserve_pin(self, timeout_s: float) -> int | Busy | SqlFailure:
        """A place for a read transaction; its number."""

    def pin(self, number: int) -> None:
        """Open it."""

    def close_cursor(self, asked: CloseCursor) -> ResponseBody:
        """End it."""


class _Pin(NamedTuple):
    number: int
    timer: asyncio.TimerHandle


class Instants:
    """Of one replica. `failed` gets what the machine raised: the replica must stop."""

    def __init__(
        self, engine: Engine, machine: PinningMachine, failed: Callable[[Exception], None]
    ) -> None:
        self._engine = engine
        self._machine = machine
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._closing: dict[bytes, asyncio.Task[None]] = {}
        self._pins: dict[bytes, _Pin] = {}  # not confirmed
        self._timer: asyncio.TimerHandle | None = None

    def on_close(self, asked: CloseGate, timeout_s: float, work: Work) -> None:
        """Answer `Pinned`, or why not."""
        if asked.id in self._closing or asked.id in self._pins:
            work.answer(_TWICE)
        elif len(self._closing) + len(self._pins) >= CLOSING_MAX:
            work.answer(_MANY)
        else:
            task = self._loop.create_task(self._close(asked, timeout_s, work))
            self._closing[asked.id] = task
            task.add_done_callback(partial(self._closed, asked.id))

    def _closed(self, id_: bytes, _task: object) -> None:
        del self._closing[id_]

    async def _close(self, asked: CloseGate, timeout_s: float, work: Work) -> None:
        try:
            number = await self._machine.reserve_pin(timeout_s)
        except asyncio.CancelledError:
            work.answer(work.ended())
            raise
        except Exception as exc:
            self._failed(exc)
            work.answer(Busy(f"the replica stopped: {exc}"))
            return
        if isinstance(number, SqlFailure):
            work.answer(NotPinned(number.message))
        elif isinstance(number, Busy):
            work.answer(number)
        else:
            self._pins[asked.id] = _Pin(
                number, self._loop.call_later(CONFIRM_S_MAX, self._end, asked.id)
            )
            self._engine.close_gate(
                asked.id,
                touched_by(asked.guards),
                partial(self._pin, number),
                partial(self._answer, asked.id, number, work),
            )
            self._watch()

    def _pin(self, number: int) -> None:
        try:
            self._machine.pin(number)
        except Exception as exc:
            self._failed(exc)

    def _answer(self, id_: bytes, number: int, work: Work, refusal: ResponseBody | None) -> None:
        if refusal is None:
            work.answer(Pinned(number))
        else:
            self._end(id_)
            work.answer(refusal)

    def on_confirm(self, asked: ConfirmGate, answer: Callable[[ResponseBody], None]) -> None:
        """Answer `Done` if what is pinned may be read."""
        self._engine.confirm_gate(asked.id, partial(self._confirmed, asked.id, answer))

    def _confirmed(
        self,
        id_: bytes,
        answer: Callable[[ResponseBody], None],
        refusal: ResponseBody | None,
    ) -> None:
        if refusal is None and id_ in self._pins:
            self._pins.pop(id_).timer.cancel()
            answer(Done((), 0))
        else:
            self._end(id_)
            answer(NotPinned("its gate, or the office of its leader, has ended"))

    def on_open(self, asked: OpenGate, answer: Callable[[ResponseBody], None]) -> None:
        """The snapshot is given up."""
        self._end(asked.id)
        answer(Done((), 0))

    def _end(self, id_: bytes) -> None:
        """Its pin is of no use, and so is its gate."""
        pin = self._pins.pop(id_, None)
        if pin is not None:
            self._engine.open_gate(id_)
            pin.timer.cancel()
            self._machine.close_cursor(CloseCursor(pin.number))

    # ------------------------------------------------------------------ time

    def _watch(self) -> None:
        if self._timer is None and (left_s := self._engine.look_at_gates()) is not None:
            self._timer = self._loop.call_later(left_s, self._look)

    def _look(self) -> None:
        self._timer = None
        self._watch()

    async def close(self) -> None:
        """End all; return when nothing runs."""
        if self._timer is not None:
            self._timer.cancel()
        tasks = list(self._closing.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for id_ in list(self._pins):
            self._end(id_)
