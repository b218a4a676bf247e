"""What the commands about histories in files take: formats, sizes, durations."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final, cast

import click

from jepsen_like.history.files import FORMATS, Format
from jepsen_like.load import seconds

__all__ = ["FILE", "Duration", "Size", "format_named", "format_option", "independent_option"]

SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?", re.IGNORECASE)
FILE: Final = click.Path(path_type=Path, exists=True, dir_okay=False)

format_option = click.option(
    "--format",
    "format_",
    type=click.Choice([*FORMATS, "auto"]),
    default="auto",
    show_default=True,
    help="Told by the first line, never by the file's name, unless given.",
)
independent_option = click.option(
    "--independent", is_flag=True, help="EDN values are [key value], as jepsen.independent has it."
)


class Size(click.ParamType[int]):
    """500MB, 2G: bytes, by powers of 1000."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        match = SIZE.fullmatch(str(value).strip())
        if match is None:
            self.fail(f"{value!r} is no size like 500MB", param, ctx)
        return int(float(match[1]) * 1000 ** " kmgt".index(match[2].lower() or " "))


class Duration(click.ParamType[int]):
    """50ms, 2s: nanoseconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return round(seconds(str(value)) * 1e9)
        except ValueError as exc:
            self.fail(str(exc), param, ctx)


def format_named(name: str) -> Format | None:
    return None if name == "auto" else cast("Format", name)
