"""Drawn faults written down and read again: plain data, as JSON has it.

A fault is a frozen dataclass all the way down, so what is written is the name of its class, as
in `faults.signals.Kill`, and its fields. `read(written(fault)) == fault`.
"""

from __future__ import annotations

import dataclasses
import importlib
from enum import Enum
from typing import Any, Final, cast

from jepsen_like.faults.fault import Planned

__all__ = ["NotWritable", "read", "written"]

CLASS: Final = "is"
"""The member that names a class."""

VALUE: Final = "value"
"""Of an enumeration."""

PACKAGE: Final = "jepsen_like."
"""Only classes below it are looked for: a file must not choose what is imported."""


PLACES: Final = ("faults", "interpose", "backends")
"""Packages in it whose values are parts of faults."""


class NotWritable(ValueError):
    """This cannot be written, or was not written by `written`; a sentence."""


def written(planned: Planned) -> dict[str, Any]:
    """Raises NotWritable if some part is neither a dataclass of this package nor plain."""
    found = _written(planned)
    assert isinstance(found, dict)
    return found


def read(data: Any) -> Planned:
    """Raises NotWritable."""
    found = _read(data)
    if not isinstance(found, Planned):
        raise NotWritable(f"{data!r} is no fault.")
    return found


def _written(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_written(each) for each in value]
    if isinstance(value, Enum):
        return {CLASS: _name_of(type(value)), VALUE: value.value}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: _written(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {CLASS: _name_of(type(value)), **fields}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise NotWritable(f"{value!r} in a fault cannot be written down.")


def _name_of(kind: type) -> str:
    name = f"{kind.__module__}.{kind.__qualname__}"
    if not name.startswith(PACKAGE):
        raise NotWritable(f"{name} cannot be written down: only faults of jepsen_like can.")
    return name.removeprefix(PACKAGE)


def _read(data: Any) -> Any:
    if isinstance(data, list):
        return tuple(map(_read, data))
    if not isinstance(data, dict):
        return data
    kind = _class_named(data.get(CLASS))
    fields = {name: _read(each) for name, each in data.items() if name != CLASS}
    try:
        return kind(fields[VALUE]) if issubclass(kind, Enum) else kind(**fields)
    except (KeyError, TypeError, ValueError) as exc:
        raise NotWritable(f"a {data[CLASS]} was not written by this version: {exc}.") from exc


def _class_named(name: Any) -> type:
    module, _, last = str(name).rpartition(".")
    if module.split(".")[0] not in PLACES:
        raise NotWritable(f"{name!r} names no fault.")
    try:
        found = getattr(importlib.import_module(PACKAGE + module), last)
    except (ImportError, AttributeError) as exc:
        raise NotWritable(f"this version has no fault {name}.") from exc
    if not isinstance(found, type) or not (
        issubclass(found, Enum) or dataclasses.is_dataclass(found)
    ):
        raise NotWritable(f"{name} is no fault.")
    return cast("type", found)
