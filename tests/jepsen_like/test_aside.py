"""A computation beside another: done once, in a child if there can be one, and the same if not."""

from __future__ import annotations

import multiprocessing
import os
import threading
from pathlib import Path

import pytest

from jepsen_like.aside import Aside


def own_id() -> int:
    return os.getpid()


def test_it_is_computed_by_a_child_which_is_gone_afterwards() -> None:
    with Aside(own_id) as aside:
        child = aside.result()
        assert child != os.getpid()
    assert not multiprocessing.active_children()
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_a_child_that_ends_early_costs_time_and_no_result() -> None:
    here = os.getpid()

    def work() -> str:
        if os.getpid() != here:
            os._exit(1)
        return "the same"

    with Aside(work) as aside:
        assert aside.result() == "the same"


def test_what_fails_there_fails_here() -> None:
    def work() -> None:
        raise ValueError("it cannot be computed")

    with Aside(work) as aside, pytest.raises(ValueError, match="it cannot be computed"):
        aside.result()


def test_beside_other_threads_nothing_is_forked() -> None:
    over = threading.Event()
    other = threading.Thread(target=over.wait)
    other.start()
    try:
        with Aside(own_id) as aside:
            assert aside.result() == os.getpid()
    finally:
        over.set()
        other.join()


def test_who_no_longer_wants_it_does_not_wait(tmp_path: Path) -> None:
    """The work would never end; the block does, and the child with it."""
    pipe = tmp_path / "never"
    os.mkfifo(pipe)
    with Aside(pipe.read_text):
        assert len(multiprocessing.active_children()) == 1
    assert not multiprocessing.active_children()
