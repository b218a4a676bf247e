"""The other engines under the simulator: ours around pysyncobj keeps its promises, and the
library as its authors ship it is convicted by the ordinary search."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.sim.raft_cluster import Options
from tests.sim.raft_engines import ENGINES
from tests.sim.raft_sim import attempt, find_violation, run_seed, shrink
from tests.sim.raft_stock import Connections

pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
"""The library reads its .meta file without closing it."""

STOCK_SEED, STOCK_TICKS = 5, 300
"""The second seed that convicts the stock library: one replica is cut off and comes back."""


def test_the_stock_library_commits_what_only_a_cut_off_leader_had() -> None:
    options = Options(ticks=STOCK_TICKS, keep=frozenset({8, 11}))

    found = find_violation([STOCK_SEED], options, engine="pysyncobj-stock")

    assert found is not None, "the library has been mended: docs/engines.md says otherwise"
    assert "committed another entry" in str(found[1])


@pytest.mark.slow
def test_with_the_cure_the_same_run_breaks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """So it is the library that is convicted, and not its simulator."""
    send = Connections.send

    def cured(self: Connections, sender: int, receiver: int, message: dict[str, Any]) -> bool:
        if "serialized" in message:
            message = {**message, "commit_index": 0}
        return send(self, sender, receiver, message)

    monkeypatch.setattr(Connections, "send", cured)
    options = Options(ticks=STOCK_TICKS, keep=frozenset({8, 11}))

    assert find_violation([STOCK_SEED], options, engine="pysyncobj-stock") is None


@pytest.mark.slow
def test_a_schedule_that_convicts_the_stock_library_is_shrunk_and_replayed() -> None:
    options = Options(ticks=STOCK_TICKS)
    first = attempt(STOCK_SEED, options, "", "pysyncobj-stock")
    assert first is not None

    small = shrink(first, options)

    assert len(small.schedule) == 2
    report = small.report()
    assert "committed another entry" in report
    assert report.endswith("--engine pysyncobj-stock --keep 8,11")


@pytest.mark.slow
def test_our_engine_around_pysyncobj_keeps_its_promises() -> None:
    totals: Counter[str] = Counter()
    for seed in range(6):
        totals.update(run_seed(seed, Options(ticks=60), engine="pysyncobj"))

    assert totals["writes"] > 0
    assert totals["reads"] > 0
    assert totals["crashes"] > 0
    assert totals["elections"] > 6


@pytest.mark.parametrize("name", sorted(ENGINES))
def test_an_engine_says_what_is_not_checked(name: str) -> None:
    assert bool(ENGINES[name].off) == (name != "core")
