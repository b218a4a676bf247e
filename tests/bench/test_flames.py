"""Samples of CPU time as stacks and as a drawing, and what is measured alone: the floor."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.costs import Costs
from bench.flame import flame, parsed, pruned, without_common_roots
from bench.floor import floors
from bench.questions.failover import judged, longest_gap
from bench.questions.paths import WHOLE, _lines, _sqlite
from bench.runs import costs_each

SAMPLES = {"main;loop;a": 60, "main;loop;a;b": 30, "main;loop;c<d>": 9, "main;loop;e": 1}


def test_the_frames_that_all_stacks_begin_with_are_left_out() -> None:
    assert without_common_roots(SAMPLES) == {"a": 60, "a;b": 30, "c<d>": 9, "e": 1}
    assert without_common_roots({"main;loop": 3}) == {"loop": 3}
    assert without_common_roots({}) == {}


def test_a_rare_frame_is_counted_with_the_one_that_called_it() -> None:
    assert pruned(SAMPLES, 0.05) == {
        "main;loop;a": 60,
        "main;loop;a;b": 30,
        "main;loop;c<d>": 9,
    } | {"main;loop": 1}
    assert sum(pruned(SAMPLES, 0.5).values()) == 100


def test_a_frame_is_as_wide_as_its_share_and_stands_on_its_caller() -> None:
    root = ElementTree.fromstring(flame("the <router>", without_common_roots(SAMPLES)))
    found = {}
    for group in (element for element in root.iter() if element.tag.endswith("}g")):
        title, rect = (next(e for e in group if e.tag.endswith(kind)) for kind in ("title", "rect"))
        found[(title.text or "").partition(":")[0]] = rect.attrib
        if (title.text or "").startswith("a:"):
            assert title.text == "a: 90 samples, 90.0%"
    width = {name: float(rect["width"]) for name, rect in found.items()}
    assert width["a"] / width["c<d>"] == pytest.approx(10, abs=0.1)
    assert float(found["b"]["y"]) < float(found["a"]["y"])
    assert "the <router>: 100 samples" in "".join(e.text or "" for e in root.iter())


def test_a_sampled_program_says_where_its_time_went(tmp_path: Path) -> None:
    """One function that computes has nearly all of the samples; the program runs as it would."""
    (tmp_path / "busy.py").write_text(
        "import sys, time\n"
        "def burn(seconds):\n"
        "    end = time.process_time() + seconds\n"
        "    while time.process_time() < end: pass\n"
        "print(sys.argv[1], __name__, flush=True)\n"
        "sys.stdin.readline(); burn(0.4); print('burnt', flush=True); sys.stdin.readline()\n"
    )
    path = os.pathsep.join([str(Path(__file__).parents[2]), str(tmp_path)])
    with subprocess.Popen(
        [sys.executable, "-m", "bench.sampled", str(tmp_path), "busy", "argument"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "argument __main__\n"
        process.send_signal(signal.SIGUSR1)
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "burnt\n"
        process.send_signal(signal.SIGUSR1)
        process.communicate("\n")
        assert process.returncode == 0
    samples = parsed((tmp_path / f"{process.pid}.folded").read_text())
    burnt = sum(count for stack, count in samples.items() if stack.endswith("__main__.burn"))
    assert burnt > 0.8 * sum(samples.values()) > 10
    assert re.match(
        r"^[^;]+(;[^;]+)*;__main__\.<module>;__main__\.burn$", max(samples, key=samples.__getitem__)
    )


def test_the_floor_has_a_time_for_each_of_its_parts(tmp_path: Path) -> None:
    found = floors(tmp_path, 4)
    assert len(found) == 7
    assert all(figures["wall_us"] > 0 for figures in found.values()), found
    assert _sqlite("insert", 64, found).keys() == {"leader", "follower"}
    assert _sqlite("select", 1, found).keys() == {"leader"}


def test_costs_are_divided_by_operations_and_the_client_has_its_share() -> None:
    cost = Costs({"router": 3.0, "client": 1.0}, {"router": 0.5, "client": 0.1}, 4000, 8000)
    found = costs_each(cost, {"router": 70.0}, 1000)
    assert found["cpu_us"] == pytest.approx(4000)
    assert found["cpu_us router"] == pytest.approx(3000)
    assert found["system_us"] == pytest.approx(600)
    assert found["client_share"] == 0.25
    assert (found["disk_bytes"], found["wire_bytes"]) == (4, 8)
    assert (found["peak_memory_mb"], found["peak_memory_mb router"]) == (70, 70)


def test_what_kernel_and_sqlite_do_not_take_is_left_to_python() -> None:
    run = {"per_second": 9.0, "p50_ms": 1.0, "cpu_us": 100.0, "system_us": 30.0}
    run |= {"cpu_us leader": 60.0, "system_us leader": 20.0}
    run |= {"cpu_us follower n2": 40.0, "system_us follower n2": 10.0} | dict.fromkeys(WHOLE, 1.0)
    lines = {
        line.contestant: line.figures
        for line in _lines("x", [run], {"leader": 5.0, "follower": 4.0})
    }
    assert lines["leader"]["python_us"].median == 35
    assert lines["follower n2"]["python_us"].median == 26
    assert lines["all processes"]["python_us"].median == 61


def test_failovers_are_judged_by_their_median_and_by_the_slow_ones() -> None:
    kills = [{"seconds": s, "terms": t} for s, t in ((0.4, 1.0), (1.2, 2.0), (0.3, 1.0))]
    p50, slow, heal = judged(kills, [{"gap_at_heal_s": 0.1}, {"gap_at_heal_s": 0.4}])
    assert (p50.measured, p50.is_met) == (0.4, True)
    assert (slow.measured, slow.note) == (1, "1 after an election that failed")
    assert (heal.measured, heal.is_met) == (0.4, False)


def test_the_longest_gap_counts_the_ends_of_what_was_watched() -> None:
    moments = [(0.0, 1.0), (0.0, 2.5), (0.0, 3.0)]
    assert longest_gap(moments, 0.5, 3.5) == 1.5
    assert longest_gap(moments, 0.5, 5.0) == 2.0
    assert longest_gap([], 1.0, 4.0) == 3.0
