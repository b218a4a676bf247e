"""Tests of consistency as tests of pytest; it finds this where the package is installed.

    registers = Test(name="registers", db=..., workloads=[...], load=..., backend="sim")

    @pytest.mark.jepsen(seeds=3)
    def test_registers(jepsen):
        jepsen.check(registers)

Each seed is a test of its own. A project that does not use the fixture pays for this module alone:
what runs a test is imported when the first one asks for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from jepsen_like.pytest_runs import Jepsen

__all__: list[str] = []

MARKER: Final = "jepsen"
FIRST_SEED: Final = 1

SETTINGS: Final = ("seeds", "backend", "faults", "shrink")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("jepsen-like", "tests of consistency (jepsen-like)")
    group.addoption("--jl-backend", metavar="NAME", help="sim, proxy or netns, for all tests.")
    group.addoption(
        "--jl-seed", type=int, metavar="SEED", help="The first seed; alone, the only one."
    )
    group.addoption("--jl-seeds", type=int, metavar="N", help="How many seeds each test has.")
    group.addoption(
        "--jl-report",
        type=Path,
        metavar="DIR",
        help="Keep what every run leaves here, not what failing ones leave alone.",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "jepsen(seeds=1, backend=None, faults=None, shrink=30): how a test that takes the fixture "
        "`jepsen` is run: its seeds (a number of them, or a list), the backend and the faults in "
        "the place of the Test's own, and how many runs a failing schedule is shrunk with on sim.",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "jepsen" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker(MARKER)
        seeds = _seeds(metafunc.config, marker, metafunc.definition.nodeid)
        metafunc.parametrize("jepsen", seeds, indirect=True, ids=[f"seed{seed}" for seed in seeds])


@pytest.fixture
def jepsen(request: pytest.FixtureRequest) -> Jepsen:
    """Runs a `jepsen_like.Test` with one seed: `jepsen.check(test)`."""
    from jepsen_like.pytest_runs import Jepsen, Settings

    marker = request.node.get_closest_marker(MARKER)
    given = marker.kwargs if marker is not None else {}
    option = request.config.getoption
    return Jepsen(
        Settings(
            node=request.node.nodeid,
            module=request.module,
            seed=request.param,
            backend=option("--jl-backend") or given.get("backend"),
            faults=given.get("faults"),
            shrink_runs=given.get("shrink", Settings.shrink_runs),
            report=option("--jl-report"),
        )
    )


def _seeds(config: pytest.Config, marker: pytest.Mark | None, node: str) -> Sequence[int]:
    """Raises UsageError for a marker that means nothing."""
    given = marker.kwargs if marker is not None else {}
    if (marker is not None and marker.args) or not set(given) <= set(SETTINGS):
        raise pytest.UsageError(
            f"{node}: @pytest.mark.jepsen takes {', '.join(f'{name}=' for name in SETTINGS)}."
        )
    first, count = config.getoption("--jl-seed"), config.getoption("--jl-seeds")
    seeds = given.get("seeds", 1)
    if first is None and count is None and not isinstance(seeds, int):
        return list(seeds)
    if count is None:
        count = seeds if first is None else 1
    if not isinstance(count, int) or count < 1:
        raise pytest.UsageError(f"{node}: seeds={count!r} is no number of seeds; write seeds=3.")
    first = FIRST_SEED if first is None else first
    return range(first, first + count)
