"""What a verb says while it works, where it cannot overwrite what it said."""

from __future__ import annotations

import pytest

from nodes.protocol import ChangeReplicas
from shardrouter.cli.progress import Steps
from shardrouter.moves import Ask, Blocked, Wait


def test_steps_are_told_at_once_and_waiting_now_and_then(
    capsys: pytest.CaptureFixture[str],
) -> None:
    now = 100.0
    with Steps(lambda: now) as steps:
        steps("g", Wait("it hears nobody"))  # over in a moment: not worth a line
        steps("g", Ask(ChangeReplicas("learner", 4, "d"), "add learner 4"))
        for count in range(64):  # eight seconds
            steps("g", Wait(f"it has {count} of 64 entries", count, 64))
            now += 0.125
        steps("h", Blocked("node d does not answer"))
        now += 1.1
        steps("h", Blocked("node d does not answer"))
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [
        "add learner 4",
        "it has 8 of 64 entries",
        "it has 48 of 64 entries",
        "node d does not answer",
    ]
