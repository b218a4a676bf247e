"""What a benchmark says of what it found: medians, ratios, verdicts, tables, drawings, costs."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest
from click.testing import CliRunner

from bench.__main__ import keep, main
from bench.chart import chart
from bench.costs import costs_of, forget_peaks, memory_mb, peak_memory_mb, spent
from bench.page import flame_name, kept, page, tables
from bench.question import Answer, Line, Measured, Question, Setting, Verdict, against, line_of
from bench.questions import NAMES, questions
from bench.runs import why_it_ended

RUNS = [
    {"per_second": 100.0, "cpu_us": 10.0, "cpu_us router": 6.0, "client_share": 0.2},
    {"per_second": 300.0, "cpu_us": 30.0, "cpu_us router": 8.0, "client_share": 0.3},
    {"per_second": 150.0, "cpu_us": 20.0, "cpu_us router": 7.0, "client_share": 0.1},
]
LINES = [
    line_of("a & b", "1 client", RUNS, "2 of 3"),
    line_of("etcd", "1 client", [{"per_second": 300.0, "client_share": 0.6}], "1 of 1"),
]


async def nobody(_setting: Setting) -> Answer:
    return answer()


def answer() -> Answer:
    target = ("etcd", "1 client")
    return Answer(
        LINES,
        against(LINES, "of the peer's", "per_second", ("a & b", "1 client"), target, ">=", 0.4),
        {"a & b": "one copy", "etcd": "two copies"},
        {"other": "apt-get install other"},
    )


QUESTION = Question("how", "How fast is it?", "per_second", nobody)
MACHINE = {"cores": 2, "load": 0.1, "memory_gb": 8, "system": "Linux 6", "python": "3.11"}


def measured() -> Measured:
    return Measured("how", "2026-01-02T03:04:05", "abc", MACHINE, True, 1.0, 9.0, answer())


def test_a_figure_is_the_median_of_its_rounds_with_their_ends() -> None:
    spread = LINES[0].figures["per_second"]
    assert (spread.median, spread.least, spread.most) == (150, 100, 300)


def test_a_ratio_is_of_medians_and_says_when_a_client_bounds_it() -> None:
    [verdict] = answer().verdicts
    assert (verdict.measured, verdict.is_met, verdict.note) == (0.5, True, "client-bound")
    [other] = against(
        LINES[:1], "itself", "per_second", ("a & b", "1 client"), ("a & b", "1 client"), "<=", 0.9
    )
    assert (other.measured, other.is_met, other.note) == (1.0, False, "")


def test_who_did_not_take_part_is_compared_with_nobody() -> None:
    missing = ("other", "1 client")
    assert not against(LINES, "", "per_second", ("a & b", "1 client"), missing, ">=", 1)


REFUSED = """\
warned of something
Traceback (most recent call last):
  File "load.py", line 1, in <module>
    await one()
    ^^^^^
asyncpg.exceptions.TooManyConnectionsError: the router is full
HINT:  Try again later.
Task was destroyed but it is pending!
task: <Task pending name='Task-446'>
"""


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (
            REFUSED,
            "asyncpg.exceptions.TooManyConnectionsError: the router is full HINT: Try again later.",
        ),
        ("one line\nCannot connect.\n", "Cannot connect."),
        ("", "it was told to end"),
    ],
)
def test_a_client_that_failed_is_said_in_one_line(said: str, why: str) -> None:
    assert why_it_ended(said) == why


@pytest.mark.parametrize(("sign", "met"), [("<=", False), (">=", True)])
def test_a_verdict_is_met_on_its_side(sign: str, met: bool) -> None:
    verdict = msgspec.json.decode(
        f'{{"what": "x", "measured": 2, "sign": "{sign}", "target": 1}}', type=Verdict
    )
    assert verdict.is_met is met


def test_a_verdict_says_by_which_share_of_the_target_it_is_missed() -> None:
    assert Verdict("x", 2, "<=", 1.6).missed_by == pytest.approx(0.25)
    assert Verdict("x", 0.6, ">=", 0.8).missed_by == pytest.approx(0.25)
    assert Verdict("x", 0.8, ">=", 0.8).missed_by == 0
    assert Verdict("x", 1, "<=", 0).missed_by == math.inf


def test_a_table_names_everyone_and_every_figure() -> None:
    said = tables(QUESTION, measured())
    first = "| **1 client**<br>a & b | 2 of 3 | 150 (100 to 300) | 20 (10 to 30) | 20% | "
    assert f"{first}0.5 of etcd (client-bound) | router 7 |" in said
    assert "| etcd | 1 of 1 | 300 |  | 60% |  |  |" in said
    assert "| of the peer's | 0.5 | at least 0.4 | met, client-bound |" in said
    assert "- other did not take part: apt-get install other." in said
    assert "load 0.1 before; runs of 1 s, quick, 9 s in all." in said


def test_the_page_is_made_of_what_is_kept(tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    (results / "how.json").write_bytes(msgspec.json.encode(measured()))
    (results / "how.svg").write_text(chart("How fast?", "per_second", LINES))
    unasked = Question("why", "Why?", "per_second", nobody)
    path = tmp_path / "docs.md"
    page(path, results, kept(results, [unasked, QUESTION]))
    text = path.read_text()
    assert text.index("## Targets") < text.index("## How fast is it?")
    assert "![How fast is it?](docs/how.svg)" in text
    assert "Of a quick run" in text
    assert "| commit | abc |" in text
    assert "1 of 1 met." in text
    assert text.index("## What each change bought") > text.index("docs/how.svg")
    assert "Why?" not in text
    assert kept(tmp_path / "docs", [QUESTION]) == [(QUESTION, measured())]


def test_a_flame_graph_of_an_answer_stands_on_the_page_and_beside_it(tmp_path: Path) -> None:
    title = "router, INSERT of 64 clients"
    one = msgspec.structs.replace(
        measured(), answer=msgspec.structs.replace(answer(), flames={title: {"a;b": 3}})
    )
    keep(tmp_path, QUESTION, one)
    assert (tmp_path / "how-router-insert-of-64-clients.svg").exists()
    path = tmp_path / "docs.md"
    page(path, tmp_path, kept(tmp_path, [QUESTION]))
    assert f"![{title}](docs/{flame_name('how', title)})" in path.read_text()
    assert "3 samples" in (tmp_path / "docs" / flame_name("how", title)).read_text()


def test_a_drawing_has_a_bar_for_each_line_in_proportion() -> None:
    root = ElementTree.fromstring(chart("How <fast>?", "per_second", LINES))
    bars = [element for element in root.iter() if element.tag.endswith("rect")]
    widths = [float(bar.attrib["width"]) for bar in bars]
    assert widths[0] / widths[1] == pytest.approx(0.5, abs=0.01)
    words = "".join(element.text or "" for element in root.iter())
    assert "How <fast>?: per second" in words
    assert "150 (100 to 300)" in words


def test_the_drawing_of_a_figure_that_no_line_has_is_empty() -> None:
    assert "<rect" not in chart("x", "p50_ms", [Line("a", "b", {})])


def test_costs_are_of_a_whole_tree_of_processes_the_ended_ones_too(tmp_path: Path) -> None:
    """What a child of a child took counts for its root, while it runs and after it has ended."""
    child = (
        "import os, sys\n"
        "while sum(os.times()[:2]) < 0.3: pass\n"
        "with open(sys.argv[1], 'wb') as f: f.write(b'x' * 1_000_000); os.fsync(f.fileno())\n"
        "print('done', flush=True); sys.stdin.read()"
    )
    root = (
        "import subprocess, sys\n"
        f"p = subprocess.Popen([sys.executable, '-c', {child!r}, sys.argv[1]],\n"
        "  stdin=subprocess.PIPE)\n"
        "sys.stdin.readline(); p.stdin.close(); p.wait(); print('ended', flush=True)\n"
        "sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", root, str(tmp_path / "file")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        roots = {"root": process.pid}
        process.stdout.readline()
        running = costs_of(roots)
        assert memory_mb(roots)["root"] > 1
        assert running.disk_bytes >= 1_000_000
        process.stdin.write("\n")
        process.stdin.flush()
        process.stdout.readline()
        ended = costs_of(roots)
        process.stdin.close()
    assert running.cpu_s["root"] >= 0.3
    assert 0 < running.system_s["root"] < running.cpu_s["root"]
    assert spent(running, ended).cpu_s["root"] >= 0


def test_the_peak_of_a_process_is_what_it_had_since_it_was_forgotten() -> None:
    """50 MB that it has given back count, until they are forgotten."""
    program = (
        "x = bytearray(50_000_000); x[::4096] = b'x' * len(x[::4096]); del x; print(); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        roots = {"one": process.pid}
        large = peak_memory_mb(roots)["one"]
        forget_peaks(roots)
        small = peak_memory_mb(roots)["one"]
        process.communicate(b"\n")
    assert large - small > 45


def test_a_process_below_another_that_is_named_too_counts_once() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        both = costs_of({"me": os.getpid(), "child": child.pid}).cpu_s
        alone = costs_of({"me": os.getpid()}).cpu_s
        assert both["me"] <= alone["me"]
        assert memory_mb({"me": os.getpid(), "child": child.pid}).keys() == {"me", "child"}
    finally:
        child.communicate(b"\n")


def test_the_questions_are_listed_and_an_unknown_one_is_refused() -> None:
    listed = CliRunner().invoke(main, ["--list"])
    named = [line.split()[0] for line in listed.output.splitlines()]
    assert named == [name.replace("_", "-") for name in NAMES] == list(questions())
    refused = CliRunner().invoke(main, ["--question", "nothing"])
    assert refused.exit_code == 1
    assert "there is no question nothing; --list names those there are." in refused.output
