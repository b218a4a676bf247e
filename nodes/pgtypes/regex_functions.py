"""Operators and functions of regular expressions, and SIMILAR TO."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from nodes.pgtypes import arrays
from nodes.pgtypes.formats import Function, FunctionError
from nodes.pgtypes.integers import integer_of
from nodes.pgtypes.regular_expressions import Expression, Match, compiled
from nodes.pgtypes.strings import string_of
from nodes.protocol import Value

__all__ = ["FUNCTIONS"]


def _options(flags: Value, function: str, *, may_be_global: bool = True) -> tuple[bool, bool, bool]:
    """Whether in any case, by lines, and all matches."""
    any_case = by_line = is_global = False
    for flag in string_of(flags):
        match flag:
            case "g":
                is_global = True
            case "i" | "c":
                any_case = flag == "i"
            case "n" | "m":
                by_line = True
            case "s":
                by_line = False
            case "t":
                pass
            case "b" | "e" | "p" | "q" | "w" | "x":
                raise FunctionError(
                    "0A000",
                    f'the option "{flag}" of a regular expression is not supported',
                    hint="There are g, i, c, n, m, s and t.",
                )
            case _:
                raise FunctionError("22023", f'invalid regular expression option: "{flag}"')
    if is_global and not may_be_global:
        hint = "Use the regexp_matches function instead." if function == "regexp_match" else ""
        raise FunctionError(
            "22023", f'{function}() does not support the "global" option', hint=hint
        )
    return any_case, by_line, is_global


def _plain(pattern: Value, *, any_case: bool = False) -> Expression:
    return compiled(string_of(pattern), any_case, False)


def _is_in(text: Value, pattern: Value) -> bool:
    return _plain(pattern).is_in(string_of(text))


def _is_in_any_case(text: Value, pattern: Value) -> bool:
    return _plain(pattern, any_case=True).is_in(string_of(text))


# --------------------------------------------------------------------------- SIMILAR TO


def _from_similar(pattern: str) -> str:
    """A pattern of SIMILAR TO as a regular expression, its escape the backslash."""
    out = ["^(?:"]
    is_class = is_escaped = False
    for character in pattern:
        if is_escaped:
            is_escaped = False
            out.append("\\" + character if not character.isalnum() else character)
        elif character == "\\":
            is_escaped = True
        elif is_class:
            out.append(character)
            is_class = character != "]"
        elif character == "[":
            is_class = True
            out.append(character)
        elif character == "%":
            out.append(".*")
        elif character == "_":
            out.append(".")
        elif character == "(":
            out.append("(?:")
        elif character in ".^$":
            out.append("\\" + character)
        else:
            out.append(character)
    out.append(")$")
    return "".join(out)


def _is_similar(text: Value, pattern: Value) -> bool:
    return compiled(_from_similar(string_of(pattern)), False, False).is_in(string_of(text))


# --------------------------------------------------------------------------- functions


def _groups(text: str, found: Match) -> list[str | None]:
    """What its groups have matched; the whole if it has none."""
    spans = found[1:] or found
    return [None if span is None else text[span[0] : span[1]] for span in spans]


def _match(text: Value, pattern: Value, flags: Value) -> str | None:
    any_case, by_line, _ = _options(flags, "regexp_match", may_be_global=False)
    whole = string_of(text)
    found = compiled(string_of(pattern), any_case, by_line).first(whole)
    return None if found is None else arrays.dump(_groups(whole, found))


def _matches(text: Value, pattern: Value, flags: Value) -> str:
    """An array of arrays: the rows of regexp_matches."""
    any_case, by_line, is_global = _options(flags, "regexp_matches")
    whole = string_of(text)
    rows = []
    for found in compiled(string_of(pattern), any_case, by_line).matches(whole):
        rows.append(arrays.dump(_groups(whole, found)))
        if not is_global:
            break
    return arrays.dump(rows)


def _count(text: Value, pattern: Value, start: Value, flags: Value) -> int:
    first = _start(start)
    any_case, by_line, _ = _options(flags, "regexp_count", may_be_global=False)
    expression = compiled(string_of(pattern), any_case, by_line)
    return sum(1 for _ in expression.matches(string_of(text), first))


def _start(value: Value) -> int:
    start = integer_of(value)
    if start < 1:
        raise FunctionError("22023", f'invalid value for parameter "start": {start}')
    return start - 1


def _like(text: Value, pattern: Value, flags: Value) -> bool:
    any_case, by_line, _ = _options(flags, "regexp_like", may_be_global=False)
    return compiled(string_of(pattern), any_case, by_line).is_in(string_of(text))


def _substring(text: Value, pattern: Value) -> str | None:
    """substring(text from pattern): its first group, or all of it."""
    whole = string_of(text)
    found = _plain(pattern).first(whole)
    return None if found is None else _groups(whole, found)[0]


def _split(text: Value, pattern: Value, flags: Value, function: str) -> str:
    """What lies between the matches; an empty match at either end, or behind another, is none."""
    any_case, by_line, _ = _options(flags, function, may_be_global=False)
    whole = string_of(text)
    parts, begin = [], 0
    before = 0
    for found in compiled(string_of(pattern), any_case, by_line).matches(whole):
        span = found[0]
        assert span is not None
        if span[0] < len(whole) and span[1] > before:
            parts.append(whole[begin : span[0]])
            begin = span[1]
        before = span[1]
    parts.append(whole[begin:])
    return arrays.dump(parts)


def _replacement(template: str, text: str, found: Match) -> str:
    """\\1 to \\9 are groups, \\& is the whole match, \\\\ is a backslash."""
    out = []
    characters = iter(template)
    for character in characters:
        if character != "\\":
            out.append(character)
            continue
        after = next(characters, None)
        if after is None:
            out.append("\\")
        elif after == "&" or (after.isascii() and after.isdigit() and after != "0"):
            number = 0 if after == "&" else int(after)
            span = found[number] if number < len(found) else None
            out.append("" if span is None else text[span[0] : span[1]])
        elif after == "\\":
            out.append("\\")
        else:
            out.append("\\" + after)
    return "".join(out)


def _replaced(
    text: Value, pattern: Value, template: Value, start: int, wanted: int, flags: tuple[bool, bool]
) -> str:
    """The `wanted`th match replaced, or all of them (0)."""
    whole, made = string_of(text), string_of(template)
    out, at = [], 0
    for number, found in enumerate(compiled(string_of(pattern), *flags).matches(whole, start), 1):
        if wanted and number < wanted:
            continue
        span = found[0]
        assert span is not None
        out += [whole[at : span[0]], _replacement(made, whole, found)]
        at = span[1]
        if wanted:
            break
    return "".join([*out, whole[at:]])


def _replace(text: Value, pattern: Value, template: Value, flags: Value) -> str:
    options = string_of(flags)
    if options[:1].isascii() and options[:1].isdigit():
        raise FunctionError(
            "22023",
            f'invalid regular expression option: "{options[0]}"',
            hint="If you meant to use regexp_replace() with a start parameter, cast the fourth "
            "argument to integer explicitly.",
        )
    any_case, by_line, is_global = _options(flags, "regexp_replace")
    return _replaced(text, pattern, template, 0, 0 if is_global else 1, (any_case, by_line))


def _replace_nth(
    text: Value, pattern: Value, template: Value, start: Value, wanted: Value, flags: Value
) -> str:
    first, number = _start(start), integer_of(wanted)
    if number < 0:
        raise FunctionError("22023", f'invalid value for parameter "n": {number}')
    any_case, by_line, _ = _options(flags, "regexp_replace")
    return _replaced(text, pattern, template, first, number, (any_case, by_line))


FUNCTIONS: Final[Mapping[str, Function]] = {
    "pg_regex_text": Function(2, _is_in),
    "pg_notregex_text": Function(2, lambda a, b: not _is_in(a, b)),
    "pg_iregex_text": Function(2, _is_in_any_case),
    "pg_notiregex_text": Function(2, lambda a, b: not _is_in_any_case(a, b)),
    "pg_similar_text": Function(2, _is_similar),
    "pg_notsimilar_text": Function(2, lambda a, b: not _is_similar(a, b)),
    "pg_regexp_match": Function(3, _match),
    "pg_regexp_matches": Function(3, _matches),
    "pg_regexp_count": Function(4, _count),
    "pg_regexp_like": Function(3, _like),
    "pg_regexp_substring": Function(2, _substring),
    "pg_regexp_split": Function(3, lambda a, b, c: _split(a, b, c, "regexp_split_to_array")),
    "pg_regexp_split_rows": Function(3, lambda a, b, c: _split(a, b, c, "regexp_split_to_table")),
    "pg_regexp_replace": Function(4, _replace),
    "pg_regexp_replace_nth": Function(6, _replace_nth),
}
