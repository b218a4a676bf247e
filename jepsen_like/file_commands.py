"""`jepsen-like check`, `lint` and `convert`: histories in files. Needs click and nothing else."""

from __future__ import annotations

import ast
import importlib.util
import json
import math
import os
import re
import shlex
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, cast

import click

from jepsen_like.checks.counterexample import duration_text
from jepsen_like.checks.named import KINDS, FailedCas, NameUnknown, Question
from jepsen_like.file_follow import follow as follow_file
from jepsen_like.file_judge import FileVerdict, Job, judge_files
from jepsen_like.history import HistoryError, Operation, lint, read, write_edn, write_jsonl
from jepsen_like.history.files import FORMATS, Format, load
from jepsen_like.load import seconds
from jepsen_like.models.model import Model
from jepsen_like.report import timeline_text, words
from jepsen_like.report.junit import Case, junit_xml
from jepsen_like.result import EXIT_CODES

__all__ = ["check", "lint_file", "convert"]

OFFENDING_SHOWN: Final = 20
FAULTS_SHOWN: Final = 5
STALENESS_KEYS_SHOWN: Final = 10
STALENESS_SHOWN_MIN_NS: Final = 1_000  # under that, the clock counts lines
REASON_CHARACTERS: Final = 100  # in the table
VALUE_CHARACTERS: Final = 400
WIDTH_MAX: Final = 120
SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?", re.IGNORECASE)
CONSISTENCIES: Final = tuple(
    dict.fromkeys(name for kind in KINDS.values() for name in kind.consistencies)
)

_file = click.Path(path_type=Path, exists=True, dir_okay=False)
_format = click.option(
    "--format",
    "format_",
    type=click.Choice([*FORMATS, "auto"]),
    default="auto",
    show_default=True,
    help="Told by the first line, never by the file's name, unless given.",
)
_independent = click.option(
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


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=False, type=_file)
@click.option(
    "--follow", is_flag=True,
    help="Judge one file of JSON lines while it is written, until the first violation, "
    "or until it has not grown for --timeout seconds.",
)  # fmt: skip
@click.option("--models", is_flag=True, help="List the models and what each can be judged by.")
@click.option(
    "--model",
    metavar="NAME|FILE.py:CLASS",
    help="What the operations mean.  [default: told by the operations]",
)
@click.option(
    "--consistency",
    type=click.Choice(CONSISTENCIES),
    help="What is promised.  [default: the strictest the model knows]",
)
@click.option("--initial", help="What a key holds at first: a number, nil, or a text.")
@click.option(
    "--failed-cas",
    type=click.Choice(["constrains", "dropped"]),
    help="A failed cas says that the value differed, or nothing.  [default: as recorded]",
)
@click.option(
    "--max-staleness", type=Duration(),
    help="With --consistency staleness: no read may be older, as in 50ms.  [default: any may]",
)  # fmt: skip
@_format
@_independent
@click.option("--json", "as_json", is_flag=True, help="The verdicts as JSON, on standard output.")
@click.option(
    "--junit", type=click.Path(path_type=Path, dir_okay=False),
    help="The verdicts as JUnit XML in this file: a test case for each file and checker.",
)  # fmt: skip
@click.option(
    "--report", type=click.Path(path_type=Path, dir_okay=False), help="One HTML file, of one FILE."
)
@click.option(
    "--timeout", type=click.FloatRange(min=0.01), default=60.0, show_default=True,
    help="Seconds for each file.",
)  # fmt: skip
@click.option("--memory", type=Size(), help="For each file, as in 500MB.  [default: no limit]")
@click.option("--jobs", type=click.IntRange(min=1), help="Files at once.  [default: processors]")
def check(
    files: tuple[Path, ...],
    follow: bool,
    models: bool,
    model: str | None,
    consistency: str | None,
    initial: str | None,
    failed_cas: str | None,
    max_staleness: int | None,
    format_: str,
    independent: bool,
    as_json: bool,
    junit: Path | None,
    report: Path | None,
    timeout: float,
    memory: int | None,
    jobs: int | None,
) -> int:
    """Judge recorded histories.

    \b
      jepsen-like check history.jsonl
      jepsen-like check etcd_*.log --model cas-register
      jepsen-like check register.edn --initial 0 --failed-cas dropped
      jepsen-like check history.jsonl --model my_model.py:Stack --json

    Exit code: 0 all valid, 1 one is invalid, 2 none is and one is unknown, 64 wrong usage.
    """
    if models:
        _print_models()
        return 0
    if not files:
        raise click.UsageError("Missing argument 'FILE...'.")
    if consistency is not None and model in KINDS and consistency not in KINDS[model].consistencies:
        fitting = ", ".join(KINDS[model].consistencies)
        raise click.UsageError(f"{model} can be judged as {fitting}, not as {consistency}.")
    if max_staleness is not None and consistency != "staleness":
        raise click.UsageError("--max-staleness goes with --consistency staleness.")
    if report is not None and len(files) > 1:
        raise click.UsageError("--report is of one history; give one FILE.")
    if report is not None and importlib.util.find_spec("jinja2") is None:
        raise click.UsageError("--report needs jinja2: pip install jinja2.")
    question = Question(
        model=_model(model),
        consistency=consistency,
        initial=_value(initial),
        failed_cas=cast("FailedCas | None", failed_cas),
        max_staleness_ns=max_staleness,
        seconds=timeout,
        memory_bytes=memory,
    )
    if follow:
        if len(files) > 1 or report is not None:
            raise click.UsageError("--follow is of one FILE, and makes no --report.")
        verdicts = [_followed(files[0], question)]
        return _shown(verdicts, as_json, junit)
    work = [
        Job(
            path,
            question,
            format=_format_named(format_),
            independent=independent,
            report=report,
            command=shlex.join(["jepsen-like", "check", str(path)]),
            in_full=as_json and len(files) == 1,
        )
        for path in files
    ]
    line = _ProgressLine(len(files))
    verdicts = judge_files(
        work,
        side_by_side=jobs or os.cpu_count() or 1,
        since=click.get_current_context().find_root().obj,
        progress=line.show,
    )
    line.clear()
    code = _shown(verdicts, as_json, junit)
    if report is not None and report.exists() and not as_json:
        click.echo(f"report: {report}")
    return code


def _followed(path: Path, question: Question) -> FileVerdict:
    try:
        return follow_file(path, question)
    except NameUnknown as exc:
        raise click.UsageError(f"{exc}.") from exc


def _shown(verdicts: Sequence[FileVerdict], as_json: bool, junit: Path | None) -> int:
    """Print and write them; the exit code."""
    if junit is not None:
        junit.write_text(junit_xml([_as_case(verdict) for verdict in verdicts]), encoding="utf-8")
    if as_json:
        shown = [verdict.as_dict() for verdict in verdicts]
        click.echo(json.dumps(shown[0] if len(shown) == 1 else shown, indent=1, default=str))
    elif len(verdicts) == 1:
        _print_one(verdicts[0])
    else:
        _print_table(verdicts)
    return exit_code(verdicts)


def _as_case(verdict: FileVerdict) -> Case:
    shown = [_operation_text(operation) for operation in verdict.offending[:OFFENDING_SHOWN]]
    shown += verdict.details.get("anomalies_in_words", ())[:OFFENDING_SHOWN]
    return Case(
        verdict.file,
        verdict.check,
        verdict.validity,
        verdict.reason,
        verdict.seconds,
        "\n".join(shown),
    )


def exit_code(verdicts: Sequence[FileVerdict]) -> int:
    """Of the worst: one proof of a violation outweighs what could not be judged."""
    found = {verdict.validity for verdict in verdicts}
    return EXIT_CODES["invalid" if "invalid" in found else "unknown" if "unknown" in found else
                      "valid"]  # fmt: skip


@click.command("lint")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=_file)
@_format
@_independent
@click.option("--distinct", is_flag=True, help="No value may be written twice to a key.")
def lint_file(files: tuple[Path, ...], format_: str, independent: bool, distinct: bool) -> int:
    """Say what no sound recorder writes, line by line. Exit code 1 if there is any.

    A verdict on a history that has findings is worth nothing.
    """
    findings = 0
    for path in files:
        try:
            loaded = load(path, _format_named(format_), independent=independent)
            sentences = lint(loaded.history, name=str(path), flaws=loaded.flaws, distinct=distinct)
        except HistoryError as exc:
            sentences = [str(exc)]
        for sentence in sentences:
            click.echo(sentence)
        if not sentences:
            click.echo(f"{path}: nothing to complain about in {len(loaded.history)} operations")
        findings += len(sentences)
    return 1 if findings else 0


@click.command()
@click.argument("source", metavar="A", type=_file)
@click.argument("target", metavar="B", type=click.Path(path_type=Path, dir_okay=False))
@_format
@_independent
@click.option(
    "--to",
    type=click.Choice(["jsonl", "edn"]),
    help="What B becomes.  [default: edn if it is named so, else jsonl]",
)
def convert(source: Path, target: Path, format_: str, independent: bool, to: str | None) -> int:
    """Write the history A as B: our JSON lines, or EDN for Jepsen's tools.

    \b
      jepsen-like convert etcd_000.log history.jsonl
      jepsen-like convert history.jsonl history.edn
    """
    try:
        history = read(source, _format_named(format_), independent=independent)
        if (to or target.suffix.lstrip(".")) == "edn":
            write_edn(target, history)
        else:
            write_jsonl(target, history)
    except HistoryError as exc:
        click.echo(f"Error: {exc}", err=True)
        return EXIT_CODES["unknown"]
    click.echo(f"{len(history)} operations written to {target}")
    return 0


def _format_named(name: str) -> Format | None:
    return None if name == "auto" else cast("Format", name)


def _value(text: str | None) -> Any:
    """3 is a number, nil nothing, and anything else a text."""
    if text is None or text in ("nil", "null", "None"):
        return None
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError):
        return text


def _model(name: str | None) -> str | Model | None:
    """A known name, or an object of the class that FILE.py:CLASS names."""
    if name is None or name in KINDS:
        return name
    path_text, colon, class_name = name.rpartition(":")
    if not colon:
        raise click.UsageError(
            f"there is no model {name}; there are {', '.join(KINDS)}, and FILE.py:CLASS."
        )
    path = Path(path_text)
    spec = importlib.util.spec_from_file_location(f"jepsen_like_model_{path.stem}", path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise click.UsageError(f"there is no Python file {path}.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
        made = getattr(module, class_name)()
    except Exception as exc:  # the file is the user's: whatever it raises is theirs to mend
        raise click.UsageError(f"{path}: {type(exc).__name__}: {exc}") from exc
    missing = [part for part in ("init", "step", "is_pure", "describe") if not hasattr(made, part)]
    if missing:
        raise click.UsageError(f"{class_name} of {path} is no model: it has no {missing[0]}.")
    return cast("Model", made)


def _print_models() -> None:
    for kind in KINDS.values():
        click.echo(f"{kind.name:<15} {kind.what}\n{'':<15} {', '.join(kind.consistencies)}")


class _ProgressLine:
    """How far a long check is, on a terminal; nothing elsewhere."""

    def __init__(self, files: int) -> None:
        self._files = files
        self._is_shown = False

    def show(self, done: int, seconds: float) -> None:
        if sys.stderr.isatty() and seconds >= 1:
            what = "judging" if self._files == 1 else f"{done} of {self._files} files judged"
            click.echo(f"\r{what}, {seconds:.0f} s\x1b[K", err=True, nl=False)
            self._is_shown = True

    def clear(self) -> None:
        if self._is_shown:
            click.echo("\r\x1b[K", err=True, nl=False)


def _print_one(verdict: FileVerdict) -> None:
    click.echo(f"{verdict.validity}: {_cut(verdict.reason)}")
    for operation in verdict.offending[:OFFENDING_SHOWN]:
        click.echo(f"  {_operation_text(operation)}")
    hidden = len(verdict.offending) - OFFENDING_SHOWN
    if hidden > 0:
        click.echo(f"  and {hidden} more")
    for fault in _meanwhile(verdict)[:FAULTS_SHOWN]:
        click.echo(f"  meanwhile: {_fault_text(fault)}")
    for line in _drawing(verdict):
        click.echo(f"  {line}")
    dead_ends = verdict.details.get("dead_ends", ())
    for sentence in dead_ends[0]["refused"].values() if dead_ends else ():
        click.echo(f"In that order, {_cut(words.printable(sentence))}.")
    for sentence in _staleness(verdict.details) if verdict.validity == "invalid" else ():
        click.echo(sentence)
    for sentence in verdict.details.get("anomalies_in_words", ())[:OFFENDING_SHOWN]:
        click.echo(sentence)
    for sentence in verdict.details.get("in_words", ()):
        click.echo(f"  {sentence}")
    parts = [verdict.check, verdict.model, verdict.format]
    about = ", ".join(part for part in parts if part)
    if about:
        click.echo(f"({about}, {verdict.operations} operations, {verdict.seconds:.2f} s)")


def _staleness(details: dict[str, Any]) -> list[str]:
    """How stale reads would have to be allowed to be: all of them, and those of each bad key."""
    told = []
    needed = details.get("staleness_ns") or 0
    if needed >= STALENESS_SHOWN_MIN_NS:
        told.append(f"It would be legal if reads might be {duration_text(needed)} stale.")
    keys = details.get("staleness", {})
    if len(keys) < 2 or all((d["ns"] or 0) < STALENESS_SHOWN_MIN_NS for d in keys.values()):
        return told
    stalest = sorted(keys.items(), key=lambda item: _stale_ns(item[1]), reverse=True)
    shown = [f"{_cut(key)} {_needs(delta)}" for key, delta in stalest[:STALENESS_KEYS_SHOWN]]
    more = f", and {len(keys) - len(shown)} more" if len(keys) > len(shown) else ""
    told.append(f"Key by key: {words.printable(', '.join(shown))}{more}.")
    return told


def _stale_ns(delta: dict[str, Any]) -> float:
    return math.inf if delta["ns"] is None else delta["ns"]


def _needs(delta: dict[str, Any]) -> str:
    if delta["ns"] is not None:
        return duration_text(delta["ns"])
    return "no staleness is enough" if delta["known"] else "not known"


def _meanwhile(verdict: FileVerdict) -> list[dict[str, Any]]:
    """The faults that may have been at work between the first offending operation and the last."""
    if verdict.validity != "invalid" or not verdict.offending:
        return []
    start = min(operation["sent_ns"] for operation in verdict.offending)
    end = max(operation["sent_ns"] for operation in verdict.offending)
    return [
        fault
        for fault in verdict.faults
        if fault["start_ns"] <= end and (fault["end_ns"] is None or fault["end_ns"] >= start)
    ]


def _fault_text(fault: dict[str, Any]) -> str:
    doubt = " (NOT VERIFIED)" if fault["verified"] is False else ""
    end = "" if fault["end_ns"] is None else fault["end_ns"]
    return f"{_cut(words.printable(fault['fault']))}{doubt} [{fault['start_ns']}, {end}]"


def _drawing(verdict: FileVerdict) -> list[str]:
    """The counterexample over time, if its orders were walked."""
    if "dead_ends" not in verdict.details:
        return []
    offending = [
        Operation(**{name: value for name, value in operation.items() if name != "line"})
        for operation in verdict.offending
    ]
    width = min(shutil.get_terminal_size().columns, WIDTH_MAX) - 2
    return timeline_text.render(offending, verdict.details, width=width)


def _operation_text(operation: dict[str, Any]) -> str:
    where = f"line {operation['line']}: " if operation["line"] else ""
    # What a transaction was asked is in its answer, too
    is_told = operation["value"] is None or (operation["f"] == "txn" and operation["output"])
    value = "" if is_told else f" {_text(operation['value'])}"
    answer = {
        "ok": "" if operation["output"] is None and value else f" -> {_text(operation['output'])}",
        "info": " (no answer)",
        "fail": " (failed)",
    }[operation["outcome"]]
    key = f" of {operation['key']}" if operation["key"] != "" else ""
    times = f"[{operation['sent_ns']}, {operation['returned_ns']}]"
    return f"{where}process {operation['process']}: {operation['f']}{key}{value}{answer} {times}"


def _text(value: Any) -> str:
    return "nil" if value is None else _cut(json.dumps(value, default=str))


def _cut(text: str) -> str:
    if len(text) <= VALUE_CHARACTERS:
        return text
    return f"{text[:VALUE_CHARACTERS]}... ({len(text)} characters)"


def _print_table(verdicts: Sequence[FileVerdict]) -> None:
    names = _short_names([verdict.file for verdict in verdicts])
    width = max(len(name) for name in names)
    for name, verdict in zip(names, verdicts, strict=True):
        reason = verdict.reason.removeprefix(f"{verdict.file}:").strip()
        if len(reason) > REASON_CHARACTERS:
            reason = reason[: REASON_CHARACTERS - 3] + "..."
        click.echo(
            f"{name:<{width}}  {verdict.validity:<7}  {verdict.operations:>7}  "
            f"{verdict.seconds:>6.2f} s  {reason}"
        )
    counts = Counter(verdict.validity for verdict in verdicts)
    found = ", ".join(f"{counts[v]} {v}" for v in EXIT_CODES if counts[v])
    click.echo(f"{len(verdicts)} histories: {found}")


def _short_names(names: list[str]) -> list[str]:
    """Without the directory they share."""
    shared = os.path.commonpath([str(Path(name).parent) for name in names])
    return [os.path.relpath(name, shared) if shared else name for name in names]
