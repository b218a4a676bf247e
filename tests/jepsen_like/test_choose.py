"""Which network a run gets: the strongest that works here and can do what its faults need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from jepsen_like import faults
from jepsen_like.backends.abilities import CUT, DELAY
from jepsen_like.backends.backend import BackendError
from jepsen_like.backends.choose import open_backend
from jepsen_like.backends.netns import Netns
from jepsen_like.faults.demands import needs_of

HOSTS = ("a", "b")


class Opened(Exception):
    """A namespace would have been made."""


@pytest.fixture
def no_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(hosts: Sequence[str], **_: Any) -> Netns:
        raise BackendError("not on a Sunday")

    monkeypatch.setattr(Netns, "open", refuse)


async def test_auto_takes_the_strongest_and_says_why_it_did_not(no_namespaces: None) -> None:
    said: list[str] = []
    backend = await open_backend("auto", HOSTS, {CUT}, said.append)
    assert backend.name == "proxy"
    assert said == ["not netns: not on a Sunday"]
    await backend.close()


async def test_auto_tries_netns_first(monkeypatch: pytest.MonkeyPatch) -> None:
    async def opening(hosts: Sequence[str], **_: Any) -> Netns:
        raise Opened

    monkeypatch.setattr(Netns, "open", opening)
    with pytest.raises(Opened):
        await open_backend("auto", HOSTS, {CUT})


async def test_what_no_backend_can_do_is_refused(
    no_namespaces: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BackendError, match="no backend can do magic in one test"):
        await open_backend("auto", HOSTS, {"magic"})
    monkeypatch.setattr(
        "jepsen_like.backends.choose.CAN", {"netns": frozenset({"rain"}), "proxy": frozenset()}
    )
    with pytest.raises(BackendError, match="can do rain works here: netns: not on a Sunday"):
        await open_backend("auto", HOSTS, {"rain"})
    with pytest.raises(BackendError, match="proxy cannot do rain; run it with --backend netns"):
        await open_backend("proxy", HOSTS, {"rain"})


def test_faults_say_what_they_need() -> None:
    schedule: list[faults.Planned] = [faults.healthy("1s"), faults.kill(faults.host("a"))]
    assert needs_of(schedule) == frozenset()
    schedule += [faults.partition(faults.halves()), faults.slow("1ms")]
    assert needs_of(schedule) == {CUT, DELAY}
    assert needs_of([faults.package(faults.healthy("1s"), faults.slow("1ms"))]) == {DELAY}
