"""The recorder, compiled once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.power.host import build_recorder


@pytest.fixture(scope="session")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        return build_recorder(tmp_path_factory.mktemp("recorder"))
    except FileNotFoundError as exc:
        pytest.skip(str(exc))
