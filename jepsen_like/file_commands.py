"""`jepsen-like check`: histories in files, judged. Needs click and nothing else."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, cast

import click

from jepsen_like.checks.named import KINDS, FailedCas, NameUnknown, Question
from jepsen_like.file_follow import follow as follow_file
from jepsen_like.file_judge import FileVerdict, Job, judge_files
from jepsen_like.file_options import (
    FILE,
    Duration,
    Size,
    format_named,
    format_option,
    independent_option,
)
from jepsen_like.file_text import case_of, in_full, table
from jepsen_like.models.model import Model
from jepsen_like.report.junit import junit_xml
from jepsen_like.result import EXIT_CODES

__all__ = ["check"]

CONSISTENCIES: Final = tuple(
    dict.fromkeys(name for kind in KINDS.values() for name in kind.consistencies)
)


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=False, type=FILE)
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
@format_option
@independent_option
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
    for option, target in (("--report", report), ("--junit", junit)):
        if target is not None and not target.parent.is_dir():
            raise click.UsageError(f"{option}: there is no directory {target.parent}.")
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
            format=format_named(format_),
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
    if as_json:
        shown = [verdict.as_dict() for verdict in verdicts]
        click.echo(json.dumps(shown[0] if len(shown) == 1 else shown, indent=1, default=str))
    else:
        click.echo("\n".join(in_full(verdicts[0]) if len(verdicts) == 1 else table(verdicts)))
    if junit is not None:
        junit.write_text(junit_xml([case_of(verdict) for verdict in verdicts]), encoding="utf-8")
    return exit_code(verdicts)


def exit_code(verdicts: Sequence[FileVerdict]) -> int:
    """Of the worst: one proof of a violation outweighs what could not be judged."""
    found = {verdict.validity for verdict in verdicts}
    return EXIT_CODES["invalid" if "invalid" in found else "unknown" if "unknown" in found else
                      "valid"]  # fmt: skip


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
        made = getattr(module, class_name)() if hasattr(module, class_name) else None
    except Exception as exc:  # the file is the user's: whatever it raises is theirs to mend
        raise click.UsageError(f"{path}: {type(exc).__name__}: {exc}") from exc
    if made is None:
        raise click.UsageError(f"{path} has no class {class_name}.")
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
