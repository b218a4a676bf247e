"""Verdicts as JUnit XML, for whatever shows the results of tests.

One test case for each file and checker, or each checker of a run; a fault that was not seen to
happen as asked is a case of its own. `invalid` is a failure, for the database broke its
promise; `unknown` is an error, for nothing was proven. What stands in the XML is the format that
Jenkins, GitLab and GitHub's actions read (jenkins-junit.xsd): testsuites > testsuite > testcase.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from jepsen_like.report import words
from jepsen_like.result import RunResult, Validity

__all__ = ["Case", "cases_of", "junit_xml"]

SUITE: Final = "jepsen-like"
SHOWN_MAX: Final = 20  # operations of a verdict
NO_CHECK: Final = "history"  # the checker of a file that could not be read
# XML 1.0 has no place for these, not even escaped
FORBIDDEN: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Case:
    name: str  # the file, or the run
    check: str
    validity: Validity
    reason: str
    seconds: float = 0.0
    text: str = ""  # the operations that show it


def cases_of(result: RunResult) -> list[Case]:
    """Of a run: what its checks say, and the faults that make it unknown."""
    verdicts = [
        Case(
            result.name,
            verdict.title,
            verdict.validity,
            verdict.reason,
            text="\n".join(
                words.operation_text(operation) for operation in verdict.offending[:SHOWN_MAX]
            ),
        )
        for verdict in result.verdicts
    ]
    faults = [
        Case(result.name, f"fault: {fault.name}", "unknown", words.fault_state(fault),
             text="\n".join(fault.evidence))
        for fault in result.faults
        if not fault.verified
    ]  # fmt: skip
    return verdicts + faults


def junit_xml(cases: Sequence[Case], *, suite: str = SUITE) -> str:
    """The document, with its declaration."""
    counts = {
        "tests": str(len(cases)),
        "failures": str(sum(case.validity == "invalid" for case in cases)),
        "errors": str(sum(case.validity == "unknown" for case in cases)),
        "time": f"{sum(case.seconds for case in cases):.3f}",
    }
    root = ET.Element("testsuites", counts)
    found = ET.SubElement(root, "testsuite", {"name": suite, **counts, "skipped": "0"})
    for case in cases:
        about = {
            "name": _clean(case.name),
            "classname": _clean(case.check or NO_CHECK),
            "time": f"{case.seconds:.3f}",
        }
        element = ET.SubElement(found, "testcase", about)
        if case.validity == "valid":
            continue
        tag = "failure" if case.validity == "invalid" else "error"
        why = {"message": _clean(case.reason), "type": case.validity}
        ET.SubElement(element, tag, why).text = _clean(f"{case.reason}\n{case.text}".rstrip())
    ET.indent(root, " ")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _clean(text: str) -> str:
    return FORBIDDEN.sub("\ufffd", text)
