"""What psql prints here of a database is what it prints of a real PostgreSQL 15: every command that
describes, and those that work with rows. The others of `make tools` need libraries of their own."""

from __future__ import annotations

import pytest

from tests.suites.in_process import serving
from tests.suites.postgres import APT, PostgresMissing, find_programs
from tests.suites.tools.running import Server, run_tool
from tests.suites.tools.transcripts import EXPECTED, compare, known_differences, read, written

pytestmark = pytest.mark.slow


def test_a_transcript_is_read_in_steps_without_what_must_differ() -> None:
    text = (
        "== \\dt+\n Size  \n-------\n 16 kB\n\n"
        "== \\watch\nSun Nov 22 05:48:41 2026 (every 1s)\n\n 1\n"
    )
    steps = read(text)
    assert steps == {"\\dt+": " Size\n--\n {size}", "\\watch": "{now} (every 1s)\n\n 1"}
    assert read(written(steps)) == steps
    found = compare(
        {"a": "1", "b": "2", "d": "4"}, {"a": "1", "b": "3", "c": "3"}, {"b": "why", "a": "no"}
    )
    assert (found.alike, found.explained) == (("a",), (("b", "why"),))
    assert (found.unexplained, found.stale) == (("c", "d"), ("a",))


def test_psql_prints_what_it_prints_of_postgresql() -> None:
    try:
        find_programs()
    except PostgresMissing:
        pytest.skip(APT)
    with serving() as port:
        server = Server(port, "shardrouter", "shardrouter", "", "-c default_placement=home")
        found = run_tool("psql", server)
    expected = read((EXPECTED / "psql.txt").read_text(encoding="utf-8"))
    result = compare(found, expected, known_differences("psql"))
    wrong = [(name, expected.get(name), found.get(name)) for name in result.unexplained]
    assert not wrong, "\n".join(f"{n}\n{a}\n--- here:\n{b}" for n, a, b in wrong)
    assert not result.stale
