"""The table of what is broken on purpose is about the code as it is."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.suites.mutants import MUTANTS, ROOT, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_what_is_broken_and_who_is_to_notice_are_there(mutant: Mutant) -> None:
    assert (ROOT / mutant.file).read_text().count(mutant.old) == 1, mutant.file
    path, _, name = mutant.test.partition("::")
    assert f"def {name.partition('[')[0]}(" in Path(ROOT / path).read_text(), mutant.test


def test_names_are_used_once() -> None:
    assert Counter(mutant.name for mutant in MUTANTS).most_common(1)[0][1] == 1
