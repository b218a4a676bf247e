"""sqllogictest's format, and an excerpt of its files on this database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from shardrouter.identity import DATABASE
from tests.suites.in_process import serving
from tests.suites.sqllogictest.client import Asyncpg, run_file
from tests.suites.sqllogictest.records import Record, judge, parse

EXCERPTS = Path(__file__).parents[1] / "testdata" / "sqllogictest"

SAMPLE = """\
# a comment
statement ok
CREATE TABLE t1(a INTEGER,
 b INTEGER)

onlyif mysql
statement ok
SET sql_mode = 'ANSI'

statement error
SELECT nothing

skipif mysql
query IT rowsort
SELECT a, b
  FROM t1
----
1
x
2
NULL

query R valuesort label-1
SELECT 1
----
3 values hashing to 1a1b5db0c2a16bd1ba3cbbd6ae8a4ad4

halt

statement ok
never
"""


def test_records_of_a_file() -> None:
    first, second, third, fourth = parse(SAMPLE)
    assert first == Record(1, "CREATE TABLE t1(a INTEGER,\n b INTEGER)", is_query=False)
    assert second.must_fail
    assert third.sql == "SELECT a, b\n  FROM t1"
    assert (third.types, third.sort, third.expected) == ("IT", "rowsort", ("1", "x", "2", "NULL"))
    assert (fourth.types, fourth.sort) == ("R", "valuesort")
    with pytest.raises(ValueError, match="line 4: 'select'"):
        list(parse("statement ok\nSELECT 1\n\nselect 2\n"))


@pytest.mark.parametrize(
    ("rows", "wrong"),
    [
        ([(2, None), (1, "x")], ""),
        ([(1, "x"), (2, "")], "['1', 'x', '2', '(empty)'] instead"),
        ([(1, "x")], "['1', 'x'] instead"),
        ([(1,), (2,)], "1 columns instead of 2"),
    ],
)
def test_an_answer_is_judged(rows: Sequence[Sequence[object]], wrong: str) -> None:
    record = Record(1, "", True, types="IT", sort="rowsort", expected=("1", "x", "2", "NULL"))
    assert judge(record, rows).startswith(wrong)
    assert bool(judge(record, rows)) is bool(wrong)


def test_many_values_are_judged_by_their_hash() -> None:
    digest = "5d6b6a8b4bb5b2fa4e3d9bd1e6f2a3c1"
    record = Record(
        1, "", True, types="R", sort="valuesort", expected=(f"2 values hashing to {digest}",)
    )
    said = judge(record, [(2.5,), (1,)])
    found = said.partition(" instead")[0]
    right = Record(1, "", True, types="R", sort="valuesort", expected=(found,))
    assert judge(right, [(1,), (2.5,)]) == ""
    assert judge(right, [(1,), (2.501,)]) != ""


class Scripted:
    """A driver that answers each statement as it is told; an exception is raised."""

    def __init__(self, answers: dict[str, object]) -> None:
        self.answers = answers

    async def run(self, sql: str) -> Sequence[Sequence[object]]:
        answer = self.answers.get(sql, ())
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, tuple)
        return answer

    async def close(self) -> None: ...


async def test_a_file_is_run_and_what_is_wrong_is_told() -> None:
    answers: dict[str, object] = {"SELECT a, b\n  FROM t1": ((1, "x"), (2, None))}
    found = await run_file(Scripted(answers), "f.test", SAMPLE)
    assert (found["right"], found["wrong"], found["queries"]) == (2, 2, 2)
    assert "f.test:10" in found["told"][0]
    assert "it did not fail" in found["told"][0]
    answers["SELECT nothing"] = ValueError("no such column")
    assert (await run_file(Scripted(answers), "f.test", SAMPLE))["wrong"] == 1


@pytest.fixture(name="port", scope="module")
def _port() -> Iterator[int]:
    with serving() as port:
        yield port


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "right"), [("select1.test", (231, 200)), ("select2.test", (131, 100))]
)
async def test_an_excerpt_of_its_files_is_answered_right(
    port: int, name: str, right: tuple[int, int]
) -> None:
    """`make sqllogictest` runs the whole files, through two drivers."""
    driver = await Asyncpg.connect(f"postgresql://ann@127.0.0.1:{port}/{DATABASE}")
    try:
        await driver.run("SET default_placement = 'home'")
        found = await run_file(driver, name, (EXCERPTS / name).read_text("utf-8"))
    finally:
        await driver.close()
    assert found["wrong"] == 0, "\n".join(found["told"])
    assert (found["right"], found["queries"]) == right
