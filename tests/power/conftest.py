"""The library of the harness, compiled once."""

from __future__ import annotations

from pathlib import Path

import pytest

from jepsen_like.interpose import InterposeError, build


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        return build(tmp_path_factory.mktemp("library"))
    except InterposeError as exc:
        pytest.skip(str(exc))
