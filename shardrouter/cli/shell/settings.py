"""What the commands pset, x, timing and set change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from shardrouter.cli.shell.arguments import ArgumentError
from shardrouter.cli.shell.layout import Format

__all__ = ["Settings", "switch"]

_ON: Final = ("on", "true", "yes", "1")
_OFF: Final = ("off", "false", "no", "0")


def switch(text: str | None, current: bool, command: str) -> bool:
    """`on` or `off`, and the other one of the current if nothing is said."""
    if text is None:
        return not current
    if text.lower() not in (*_ON, *_OFF):
        raise ArgumentError(f"{command} is on or off, not {text!r}.")
    return text.lower() in _ON


@dataclass
class Settings:
    """Of a shell, from its start to its end."""

    format: Format = Format.TABLE
    expanded: str = "off"  # on; auto: where a table is too wide for the terminal
    null: str = "NULL"
    heads: bool = True
    timing: bool = False
    pager: bool = True
    on_error_stop: bool = False

    def set_expanded(self, text: str | None) -> None:
        if text is not None and text.lower() == "auto":
            self.expanded = "auto"
        else:
            self.expanded = "on" if switch(text, self.expanded != "off", "\\x") else "off"

    def set_variable(self, name: str, value: str | None) -> None:
        """`\\set NAME VALUE` and `-v NAME=VALUE`."""
        if name.upper() != "ON_ERROR_STOP":
            raise ArgumentError(f"there is no variable {name}; ON_ERROR_STOP is one.")
        self.on_error_stop = switch(value or "on", False, "ON_ERROR_STOP")

    def set_printing(self, name: str, value: str | None) -> None:
        """`\\pset NAME VALUE`."""
        setters: dict[str, Callable[[], None]] = {
            "format": lambda: self.set_format(value),
            "expanded": lambda: self.set_expanded(value),
            "x": lambda: self.set_expanded(value),
            "null": lambda: setattr(self, "null", value or ""),
            "tuples_only": lambda: setattr(
                self, "heads", not switch(value, not self.heads, "tuples_only")
            ),
            "pager": lambda: setattr(self, "pager", switch(value, self.pager, "pager")),
        }
        if name not in setters:
            raise ArgumentError(f"\\pset knows {', '.join(setters)}, not {name!r}.")
        setters[name]()

    def told_of(self, name: str) -> str:
        """What `\\pset NAME` says when it is done, in psql's words."""
        if name in ("x", "expanded"):
            how = "used automatically" if self.expanded == "auto" else self.expanded
            return f"Expanded display is {how}."
        return {
            "format": f"Output format is {self.format}.",
            "null": f'Null display is "{self.null}".',
            "tuples_only": f"Tuples only is {'off' if self.heads else 'on'}.",
            "pager": f"Pager usage is {'on' if self.pager else 'off'}.",
        }[name]

    def set_format(self, value: str | None) -> None:
        if value == "aligned":
            value = "table"
        try:
            self.format = Format(value or "")
        except ValueError as exc:
            raise ArgumentError(f"a format is one of {', '.join(Format)}, not {value}.") from exc

    def told(self) -> list[str]:
        """`\\pset` alone."""
        return [
            f"format       {self.format}",
            f"expanded     {self.expanded}",
            f"null         '{self.null}'",
            f"tuples_only  {'off' if self.heads else 'on'}",
            f"pager        {'on' if self.pager else 'off'}",
        ]
