"""Every command that the documents show is run, in the order they show it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.conftest import Up, start_up

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

RUN_ELSEWHERE = {
    "jepsen-like demo": "tests/process/test_demo.py",
    "jepsen-like pacelc": "tests/process/test_pacelc.py",
    "jepsen-like replay": "tests/process/test_seeds.py",
    "jepsen-like run": "tests/process/test_examples.py",
    "jepsen-like shrink": "tests/process/test_shrink.py",
    "jepsen-like sim": "tests/process/test_seeds.py",
}
"""Commands of their own length, and the test that runs them."""

TOLD_ELSEWHERE = {
    "checking.md": "tests/jepsen_like/test_checking_docs.py",
    "deploy.md": "tests/process/test_machines.py",
    "lab.md": "tests/process/test_lab.py",
    "operations.md": "tests/process/test_operations.py",
    "tutorial.md": "tests/process/test_tutorial.py",
}
"""Documents that are a story with files of its own, and the test that follows it."""


def commands(document: Path) -> list[str]:
    """Lines of the document's `sh` blocks, without comments."""
    blocks = re.findall(
        r"^```sh\n(.*?)^```", document.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    lines = [shlex.join(shlex.split(line, comments=True)) for line in "".join(blocks).splitlines()]
    return [line for line in lines if line]


SHOWN = [
    (document.name, line)
    for document in DOCUMENTS
    if document.name not in TOLD_ELSEWHERE
    for line in commands(document)
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    directory = tmp_path_factory.mktemp("docs") / "shardrouter-data"
    up = start_up(directory)
    yield up
    up.stop()


def with_contents(word: str, directory: Path) -> str:
    """`$(cat FILE)` as a shell there would have it."""
    return re.sub(
        r"\$\(cat ([^)]+)\)", lambda match: (directory / match[1]).read_text().strip(), word
    )


@pytest.mark.parametrize(("document", "line"), SHOWN, ids=[line for _, line in SHOWN])
def test_a_shown_command_works(cluster: Up, document: str, line: str) -> None:
    words = shlex.split(line)
    if words[0] == "make":
        assert f"\n{words[1]}:" in (ROOT / "Makefile").read_text(), f"{document} shows {line}"
        return
    elsewhere = RUN_ELSEWHERE.get(" ".join(words[:2]))
    if elsewhere is not None:
        assert (ROOT / elsewhere).exists()
        return
    if words[:2] == ["shardrouter", "up"]:
        assert cluster.process.poll() is None  # the fixture is that command
        return
    if words[0] == "psql" and shutil.which("psql") is None:
        pytest.skip("psql is missing: apt-get install postgresql-client")
    done = subprocess.run(
        [with_contents(word, cluster.directory.parent) for word in words],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=cluster.directory.parent,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )
    assert done.returncode == 0, f"{document} shows {line}\n{done.stdout}{done.stderr}"
    assert done.stdout


def test_links_lead_somewhere() -> None:
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_what_is_told_elsewhere_has_its_test() -> None:
    for document, test in TOLD_ELSEWHERE.items():
        assert document in (ROOT / test).read_text(encoding="utf-8")


def test_the_documents_show_commands() -> None:
    assert len(SHOWN) > 8
