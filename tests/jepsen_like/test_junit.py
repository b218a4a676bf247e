"""JUnit XML by the rules of jenkins-junit.xsd, and the fields of --json by the documentation."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from jepsen_like.file_judge import FileVerdict
from jepsen_like.judge import write_files
from jepsen_like.report.junit import Case, junit_xml
from tests.jepsen_like.histories import write
from tests.jepsen_like.synthetic import CUT, KILL, synthetic_result
from tests.jepsen_like.test_file_commands import STALE, Shell, put, shell

__all__ = ["shell"]

DOCUMENT = Path(__file__).parents[2] / "docs" / "checking.md"

# jenkins-junit.xsd (the schema that Jenkins, GitLab and others take for the format), as a table:
# element -> (required attributes, attributes there may be, children, text allowed)
TEXTS = {"message", "type"}
SCHEMA: dict[str, tuple[set[str], set[str], set[str], bool]] = {
    "testsuites": (
        set(),
        {"name", "time", "tests", "failures", "disabled", "errors"},
        {"testsuite"},
        False,
    ),
    "testsuite": (
        {"name", "tests"},
        {"failures", "errors", "time", "disabled", "skipped", "timestamp", "hostname", "id",
         "package"},
        {"properties", "testcase", "system-out", "system-err"},
        False,
    ),
    "testcase": (
        {"name"},
        {"classname", "time", "assertions", "status"},
        {"skipped", "error", "failure", "system-out", "system-err"},
        False,
    ),
    "failure": (set(), TEXTS, set(), True),
    "error": (set(), TEXTS, set(), True),
}  # fmt: skip
NUMBERS = {"tests": r"\d+", "failures": r"\d+", "errors": r"\d+", "skipped": r"\d+",
           "time": r"\d+\.\d+"}  # fmt: skip


def validate(element: ET.Element) -> None:
    required, optional, children, has_text = SCHEMA[element.tag]
    assert required <= element.attrib.keys() <= required | optional, element.attrib
    for name, pattern in NUMBERS.items():
        assert re.fullmatch(pattern, element.attrib.get(name, "0.0" if name == "time" else "0"))
    assert has_text or not (element.text or "").strip()
    assert not (element.tail or "").strip()
    for child in element:
        assert child.tag in children, child.tag
        validate(child)


def parsed(text: str) -> ET.Element:
    root = ET.fromstring(text.encode())
    assert root.tag == "testsuites"
    validate(root)
    for holder in (root, *root):
        cases = holder.findall(".//testcase")
        assert int(holder.attrib["tests"]) == len(cases)
        assert int(holder.attrib["failures"]) == len(holder.findall(".//failure"))
        assert int(holder.attrib["errors"]) == len(holder.findall(".//error"))
    return root


def test_one_case_for_each_file_and_checker(tmp_path: Path, shell: Shell) -> None:
    good, bad = put(tmp_path / "good", [write(1, 0, 1)]), put(tmp_path / "bad", STALE)
    (tmp_path / "torn").write_text("nothing")
    xml = tmp_path / "results.xml"
    code, out, _ = shell("check", good, bad, tmp_path / "torn", "--junit", xml)
    assert (code, "3 histories" in out) == (1, True)
    root = parsed(xml.read_text())
    cases = {Path(case.attrib["name"]).name: case for case in root.iter("testcase")}
    assert [child.tag for child in cases["good"]] == []
    assert cases["good"].attrib["classname"] == "linearizable"
    (failure,) = cases["bad"]
    assert failure.tag == "failure"
    assert failure.attrib["message"].startswith("read of x on n1 returned 1 after write 2")
    assert "line 4: process 1: read of x -> 1 [4, 5]" in (failure.text or "")
    (error,) = cases["torn"]
    assert (error.tag, error.attrib["type"]) == ("error", "unknown")
    assert cases["torn"].attrib["classname"] == "history"
    shell("check", bad, "--consistency", "sessions", "--junit", xml, "--json")
    assert [c.attrib["classname"] for c in parsed(xml.read_text()).iter("testcase")] == ["sessions"]


def test_a_run_has_a_case_for_each_check_and_each_fault_that_was_not_verified(
    tmp_path: Path,
) -> None:
    doubtful = replace(CUT, verified_end=False, evidence=("3 bytes passed",))
    result = synthetic_result(stale=True, seconds=8.0, faults=(doubtful, KILL))
    write_files(result, tmp_path)
    cases = list(parsed((tmp_path / "junit.xml").read_text()).iter("testcase"))
    assert [(case.attrib["classname"], *[child.tag for child in case]) for case in cases] == [
        ("linearizable", "failure"),
        ("final reads",),
        (f"fault: {CUT.name}", "error"),
    ]
    assert {case.attrib["name"] for case in cases} == {"demo"}
    assert "read" in (cases[0][0].text or "")
    assert "3 bytes passed" in (cases[2][0].text or "")


@pytest.mark.parametrize("odd", ["a\x00b\x1b[31m", "<&\"'>]]>", "\ud800", "line\ntab\t", "ÿ 字"])
def test_any_text_makes_good_xml(odd: str) -> None:
    root = parsed(junit_xml([Case(odd, odd, "invalid", odd, 0.5, odd), Case(odd, "", "valid", "")]))
    case = next(root.iter("testcase"))
    if odd.isprintable() and odd.isascii():
        assert case.attrib["name"] == odd
    assert junit_xml([]).startswith("<?xml")


def test_the_fields_of_json_are_documented(tmp_path: Path, shell: Shell) -> None:
    code, out, _ = shell("check", put(tmp_path / "bad", STALE), "--json")
    assert code == 1
    found = json.loads(out)
    assert (found["schema"], found["version"]) == ("jepsen_like.verdict", 1)
    text = DOCUMENT.read_text(encoding="utf-8")
    section = text[text.index("### JSON") :]
    fields = re.findall(r"^\| `(\w+)`", section[: section.index("\n## ")], re.MULTILINE)
    assert fields == list(found)
    assert fields == list(FileVerdict("f", "valid", "").as_dict())
    for name in found["details"]:
        assert f"`{name}`" in section, name
