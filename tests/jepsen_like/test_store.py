"""Two runs side by side, and the store of runs in a browser."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from jepsen_like.__main__ import cli
from jepsen_like.figures.intervals import wilson
from jepsen_like.judge import as_json, write_files
from jepsen_like.store.differences import Difference, differences, in_words
from jepsen_like.store.runs import StoreError, read_run, runs_in
from jepsen_like.store.server import StoreServer
from tests.jepsen_like.synthetic import synthetic_result


def results(**changed: Any) -> dict[str, Any]:
    """As results.json has them."""
    found: dict[str, Any] = json.loads(json.dumps(as_json(synthetic_result())))
    return found | changed


def label(partition: str, low: float, high: float, count: int = 1000) -> dict[str, Any]:
    slope = {"value": (low + high) / 2, "low": low, "high": high, "count": count}
    return {
        "f": "read",
        "level": "any",
        "partition": partition,
        "otherwise": "EL",
        "predicted": "PA/EL",
        "missing": [],
        "figures": {"slope": slope, "cuts": 3},
    }


def row(side: str, ok: int, invoked: int) -> dict[str, Any]:
    of = wilson(ok, invoked)
    return {
        "fault": "cut",
        "side": side,
        "f": "all",
        "invoked": invoked,
        "ok": ok,
        "measured": invoked >= 100,
        "low": of.low,
        "high": of.high,
    }


def one(found: list[Difference], what: str) -> Difference:
    (difference,) = (each for each in found if each.what == what)
    return difference


def test_a_run_differs_from_itself_in_nothing() -> None:
    found = differences(results(), results())
    assert {each.state for each in found} <= {"same", "too little to say"}
    assert in_words(found).startswith("no result differs")


def test_a_verdict_that_changed_matters_and_a_seed_does_not() -> None:
    found = differences(results(), results(seed=99, validity="unknown"))
    assert one(found, "seed").state == "differs"
    assert not one(found, "seed").matters
    assert one(found, "the run").matters
    assert in_words(found).endswith("the first: the run")


@pytest.mark.parametrize(
    ("b", "state"),
    [
        (row("minority (n3)", 10, 1000), "within the intervals"),
        (row("minority (n1)", 20, 1000), "within the intervals"),
        (row("minority (n1)", 60, 1000), "differs"),
        (row("minority (n1)", 0, 0), "too little to say"),
        (row("majority (n1)", 12, 1000), "alone"),
    ],
)
def test_a_yield_differs_when_its_interval_has_nothing_in_common(
    b: dict[str, Any], state: str
) -> None:
    """12 of 1 000 is 0.69 % to 2.08 %, 20 is 1.30 to 3.07, 60 is 4.69 to 7.65 (Wilson)."""
    a = row("minority (n2)", 12, 1000)
    found = differences(results(availability=[a]), results(availability=[b]))
    difference = one(found, "yield, all, minority, cut")
    assert difference.state == state
    assert difference.a == "1.20% (0.69 to 2.09, n = 1000)"


def test_labels_and_the_figures_that_they_rest_on_are_compared() -> None:
    found = differences(
        results(labels=[label("PA", 0.1, 0.2)]), results(labels=[label("undetermined", 0.3, 0.4)])
    )
    corner = one(found, "PACELC of read at any")
    assert (corner.a, corner.b, corner.matters) == ("PA/EL", "?/EL", True)
    assert one(found, "slope of read").state == "differs"
    touching = differences(
        results(labels=[label("PA", 0.1, 0.2)]), results(labels=[label("PA", 0.2, 0.4)])
    )
    assert one(touching, "slope of read").state == "within the intervals"


def test_one_failover_is_too_few_to_say() -> None:
    def failovers(seconds: float, times: int) -> dict[str, Any]:
        fault = {"fault": "kill", "group": "s1", "first_ok_ns": int(seconds * 1e9), "side": "all"}
        return results(failovers=[fault] * times)

    assert one(differences(failovers(0.4, 1), failovers(9.0, 1)), "failover after kill").state == (
        "too little to say"
    )
    assert one(differences(failovers(0.4, 5), failovers(9.0, 5)), "failover after kill").matters


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Two runs, and what is none."""
    for name in ("one", 'two "<b>'):
        (tmp_path / name / "logs").mkdir(parents=True)
        write_files(synthetic_result(), tmp_path / name)
    (tmp_path / "one" / "logs" / "n1.log").write_text("a line\n")
    (tmp_path / "one" / "data").mkdir()
    (tmp_path / "one" / "data" / "secret").write_text("not listed")
    (tmp_path / "early").mkdir()
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "results.json").write_text('{"format": 2, ')
    return tmp_path


def test_the_runs_of_a_store(store: Path) -> None:
    runs, unreadable = runs_in(store)
    assert sorted(run.name for run in runs) == ["one", 'two "<b>']
    assert len(unreadable) == 1
    assert "torn/results.json is not JSON" in unreadable[0]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("[]", "it says no format"),
        ('{"format": 1}', "is of format 1, this version reads 2"),
        ('{"format": 2}', "it lacks name, seed"),
        ("\xff", "is not JSON"),
    ],
)
def test_what_is_no_run_is_refused_in_a_sentence(tmp_path: Path, content: str, why: str) -> None:
    (tmp_path / "results.json").write_text(content, encoding="latin-1")
    with pytest.raises(StoreError, match=why):
        read_run(tmp_path)


def test_the_verb_says_what_differs_and_ends_with_it(store: Path) -> None:
    changed = results(validity="unknown", seed=7)
    (store / 'two "<b>' / "results.json").write_text(json.dumps(changed))
    words = ["diff", str(store / "one"), str(store / 'two "<b>')]
    said = CliRunner().invoke(cli, words)
    assert said.exit_code == 1, said.output
    assert "the run" in said.output
    found = json.loads(CliRunner().invoke(cli, [*words, "--json"]).output)
    assert {each["what"] for each in found["compared"] if each["matters"]} == {"the run"}
    same = CliRunner().invoke(cli, ["diff", str(store / "one"), str(store / "one")])
    assert same.exit_code == 0, same.output
    gone = CliRunner().invoke(cli, ["diff", str(store / "one"), str(store / "gone")])
    assert "gone/results.json cannot be read" in gone.output


@pytest.fixture
def server(store: Path) -> Iterator[StoreServer]:
    with StoreServer(store, 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(server: StoreServer, path: str, host: str = "localhost") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.request("GET", path, headers={"Host": f"{host}:{server.server_port}"})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def test_a_browser_sees_the_runs_their_files_and_comparisons(server: StoreServer) -> None:
    status, page = ask(server, "/")
    assert status == 200
    assert 'href="/run/one"' in page
    assert "<b>" not in page
    assert "torn/results.json is not JSON" in page
    assert 'href="/run/one"' not in ask(server, "/?q=two")[1]
    status, page = ask(server, "/run/one")
    assert (status, "logs/n1.log" in page) == (200, True)
    assert ask(server, "/run/one/logs/n1.log") == (200, "a line\n")
    assert "<!doctype html>" in ask(server, "/run/one/report.html")[1]
    status, page = ask(server, "/diff?a=one&b=two%20%22%3Cb%3E")
    assert (status, "no result differs" in page) == (200, True)


@pytest.mark.parametrize(
    "path",
    [
        "/run/one/data/secret",
        "/run/one/../torn/results.json",
        "/run/one/logs/..%2f..%2fdata%2fsecret",
        "/run/..%2f..",
        "/run/torn",
        "/diff?a=one",
        "/elsewhere",
    ],
)
def test_nothing_else_can_be_read(server: StoreServer, path: str) -> None:
    status, text = ask(server, path)
    assert status == 404
    assert "not listed" not in text


def test_a_name_that_only_leads_here_is_refused(server: StoreServer) -> None:
    assert ask(server, "/", host="rebound.example")[0] == 403
