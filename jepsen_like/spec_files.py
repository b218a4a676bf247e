"""The tests that a Python file names."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import click

from jepsen_like.spec import SpecError, Test

__all__ = ["load_test"]


def load_test(where: str) -> Test:
    """The Test that FILE:NAME names. Raises ClickException with a sentence; UsageError if there
    is none."""
    path_text, _, name = where.partition(":")
    path, name = Path(path_text), name or "test"
    if not path.is_file():
        raise click.UsageError(f"there is no file {path}.")
    spec = importlib.util.spec_from_file_location(f"jepsen_like_file_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise click.UsageError(f"{path} is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses of the file look their module up
    try:
        spec.loader.exec_module(module)
    except SpecError as exc:  # a harness error: what is asked for cannot be run
        raise click.ClickException(f"{path}: {exc}") from exc
    except Exception as exc:  # the file is the user's: whatever it raises is theirs to mend
        raise click.UsageError(f"{path}: {type(exc).__name__}: {exc}") from exc
    test = getattr(module, name, None)
    if not isinstance(test, Test):
        named = sorted(key for key, value in vars(module).items() if isinstance(value, Test))
        raise click.UsageError(
            f"{path} has no test named {name}; it has {', '.join(named) or 'none'}."
        )
    return test
