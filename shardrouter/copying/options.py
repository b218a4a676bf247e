"""What a COPY asks for, beyond which table or query: its format and how that is written.

The checks, and their words, are PostgreSQL's (`ProcessCopyOptions` in `copy.c`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from shardrouter.errors import NotSupported, StatementError

__all__ = ["CopyFormat", "CopyOptions", "checked"]

CopyFormat: TypeAlias = Literal["text", "csv", "binary"]


@dataclass(frozen=True)
class CopyOptions:
    """Names of columns are those of the statement; `None` among them stands for all."""

    format: CopyFormat = "text"
    delimiter: str = "\t"
    null: str = "\\N"
    header: Literal["no", "yes", "match"] = "no"
    quote: str = '"'
    escape: str = '"'
    force_quote: tuple[str, ...] | None = ()
    force_not_null: tuple[str, ...] = ()
    force_null: tuple[str, ...] = ()


def checked(options: CopyOptions, *, given: frozenset[str], is_from: bool) -> CopyOptions:
    """The options if they go together; `given` are those that the statement names. Raises
    StatementError, NotSupported."""
    is_csv = options.format == "csv"
    if options.format == "binary":
        for name in ("delimiter", "null"):
            if name in given:
                raise StatementError(
                    f"cannot specify {name.upper()} in BINARY mode", sqlstate="42601"
                )
        if options.header != "no":
            raise StatementError("cannot specify HEADER in BINARY mode", sqlstate="0A000")
    _check_delimiter(options, is_csv=is_csv)
    if any(end in options.null for end in "\r\n"):
        raise StatementError(
            "COPY null representation cannot use newline or carriage return", sqlstate="22023"
        )
    for name in ("quote", "escape"):
        if not is_csv and name in given:
            raise StatementError(f"COPY {name} available only in CSV mode", sqlstate="0A000")
        if len(getattr(options, name).encode()) != 1:
            raise StatementError(
                f"COPY {name} must be a single one-byte character", sqlstate="0A000"
            )
    if is_csv and options.delimiter == options.quote:
        raise StatementError("COPY delimiter and quote must be different", sqlstate="22023")
    for name, only in (("force_quote", "TO"), ("force_not_null", "FROM"), ("force_null", "FROM")):
        words = name.replace("_", " ")
        if name in given and not is_csv:
            raise StatementError(f"COPY {words} available only in CSV mode", sqlstate="0A000")
        if name in given and is_from is (only == "TO"):
            raise StatementError(f"COPY {words} only available using COPY {only}", sqlstate="0A000")
    if options.delimiter in options.null:
        raise StatementError(
            "COPY delimiter must not appear in the NULL specification", sqlstate="22023"
        )
    if is_csv and options.quote in options.null:
        raise StatementError("CSV quote character must not appear in the NULL specification",
                             sqlstate="22023")  # fmt: skip
    if options.header == "match" and not is_from:
        raise StatementError('cannot use "match" with HEADER in COPY TO', sqlstate="0A000")
    if options.delimiter.isalnum() and is_csv:
        raise NotSupported(
            f'COPY delimiter "{options.delimiter}" is not supported in CSV',
            hint="Use a character that is no letter or digit.",
        )
    return options


def _check_delimiter(options: CopyOptions, *, is_csv: bool) -> None:
    delimiter = options.delimiter
    if len(delimiter.encode()) != 1:
        raise StatementError("COPY delimiter must be a single one-byte character", sqlstate="0A000")
    if delimiter in "\r\n":
        raise StatementError(
            "COPY delimiter cannot be newline or carriage return", sqlstate="22023"
        )
    if not is_csv and delimiter in "\\.abcdefghijklmnopqrstuvwxyz0123456789":
        raise StatementError(f'COPY delimiter cannot be "{delimiter}"', sqlstate="22023")
