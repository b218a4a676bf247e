"""The fixture, the marker and the options of pytest, tried by pytest on projects of a few lines."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path

import pytest

PLUGIN = (
    ()
    if any(point.name == "jepsen_like" for point in entry_points(group="pytest11"))
    else ("-pjepsen_like.pytest_plugin",)  # an environment that was made before there was one
)

pytest_plugins = ("pytester",)

SPEC = """
import pytest
from jepsen_like import Test, checks, faults, load, workloads
from tests.jepsen_like.register_db import RegisterDb

def make(name, stale=False, **more):
    return Test(name=name, db=RegisterDb(stale=stale), workloads=[workloads.register(keys=2)],
                load=load.open_loop(rate=100, deadline="250ms", clients=5),
                checks=[checks.linearizable(online=True)], faults=[faults.healthy("400ms")], **more)
"""


def run(
    pytester: pytest.Pytester, text: str, *options: str, spec: str = SPEC, aside: bool = False
) -> pytest.RunResult:
    """`aside`: in a process of its own."""
    pytester.makepyfile(test_project=spec + text)
    pytester.makeini("[pytest]\naddopts = --strict-markers\n")
    root = str(Path(__file__).parents[2])
    pytester.syspathinsert(root)
    started = pytester.runpytest_subprocess if aside else pytester.runpytest_inprocess
    return started("-pno:cacheprovider", "-pno:asyncio", *PLUGIN, *options)


def collected(result: pytest.RunResult) -> list[str]:
    return [line.split("::")[1] for line in result.outlines if "::" in line]


MARKED = "\n@pytest.mark.jepsen({marker})\ndef test_it(jepsen):\n    pass\n"


@pytest.mark.parametrize(
    ("marker", "options", "seeds"),
    [
        ("", [], [1]),
        ("seeds=3", [], [1, 2, 3]),
        ("seeds=[7, 42]", [], [7, 42]),
        ("seeds=3", ["--jl-seed=5"], [5]),
        ("seeds=[7, 42]", ["--jl-seeds=2"], [1, 2]),
        ("seeds=3", ["--jl-seed=5", "--jl-seeds=2"], [5, 6]),
    ],
)
def test_each_seed_is_a_test_of_its_own(
    pytester: pytest.Pytester, marker: str, options: Sequence[str], seeds: Sequence[int]
) -> None:
    text = MARKED.format(marker=marker)
    result = run(pytester, text, "--collect-only", "-q", *options, spec="import pytest\n")
    assert collected(result) == [f"test_it[seed{seed}]" for seed in seeds]


@pytest.mark.parametrize(
    ("marker", "sentence"),
    [
        ("seed=3", "@pytest.mark.jepsen takes seeds=, backend=, faults=, shrink=."),
        ("3", "@pytest.mark.jepsen takes seeds=, backend=, faults=, shrink=."),
        ("seeds=0", "seeds=0 is no number of seeds; write seeds=3."),
    ],
)
def test_a_marker_that_means_nothing_is_a_sentence(
    pytester: pytest.Pytester, marker: str, sentence: str
) -> None:
    text = MARKED.format(marker=marker)
    result = run(pytester, text, "--collect-only", "-q", spec="import pytest\n")
    assert result.ret != 0
    assert sentence in result.stdout.str() + result.stderr.str()


def test_a_project_that_does_not_use_it_imports_nothing_of_it(pytester: pytest.Pytester) -> None:
    text = """
import sys

def test_it():
    loaded = [name for name in sys.modules if name.startswith("jepsen_like.")]
    assert loaded == ["jepsen_like.pytest_plugin"], loaded
"""
    run(pytester, text, spec="", aside=True).assert_outcomes(passed=1)


@pytest.mark.long
@pytest.mark.processes
def test_runs_pass_fail_and_keep_their_reports(pytester: pytest.Pytester) -> None:
    """On a real backend: a sound database, one that answers reads from a copy, faults that cannot
    be, a backend that is not there."""
    text = """
sound, stale = make("sound"), make("stale", stale=True)

def test_sound(jepsen):
    assert jepsen.seed == 3
    jepsen.check(sound)

@pytest.mark.jepsen(faults=[
    faults.partition(faults.isolate(faults.host("n3")), hold="2s", rest="0s"), faults.healthy("1s"),
])
def test_stale(jepsen):
    jepsen.check(stale)

@pytest.mark.jepsen(faults=[faults.kill(faults.host("n9"))])
def test_impossible(jepsen):
    jepsen.check(sound)

@pytest.mark.jepsen(backend="moon")
def test_moon(jepsen):
    jepsen.check(sound)

def test_simulated(jepsen):
    jepsen.check(make("simulated", backend="sim"))
"""
    result = run(pytester, text, "--jl-seed=3", "--jl-report=kept", aside=True)
    result.assert_outcomes(passed=1, failed=4)
    result.stdout.fnmatch_lines(
        [
            "seed 3: invalid: linearizable*",
            "the schedule, on * (only a simulated one can be shrunk):",
            "*0.0 s  partition isolate(n3) for 2 s",
            "*2.0 s  healthy for 1 s",
            "again:  pytest *test_stale*seed3* --jl-seed 3 --jl-backend *",
            "report: kept/test_project.py-test_stale-seed3/report.html",
            "*there is no host n9; there are n1, n2, n3*",
            "there is no backend moon; there are *",
            "*the test simulated has no name in test_project: *",
        ]
    )
    kept = pytester.path / "kept"
    assert (kept / "test_project.py-test_sound-seed3" / "report.html").exists()
    assert (kept / "test_project.py-test_stale-seed3" / "report.html").exists()
