"""Logs of processes on the clock of the run."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from jepsen_like.logs import CHARACTERS_MAX, LINES_MAX, read_logs
from jepsen_like.result import LogLine

ZERO = datetime(2026, 3, 1, 12, 0, 0)
ZERO_S = ZERO.timestamp()


def test_lines_are_put_in_the_order_of_time_whoever_said_them(tmp_path: Path) -> None:
    (tmp_path / "n1.log").write_text(
        "2026-03-01 11:59:59,500 n1 INFO before the run\n"
        "2026-03-01 12:00:02,250 n1 WARNING late\n"
        "  a second line of it\n"
    )
    utc = datetime.fromtimestamp(ZERO_S + 1.5, UTC).isoformat().replace("+00:00", "Z")
    json_line = f'{{"level":"info","ts":"{utc}","msg":"as etcd"}}'
    (tmp_path / "n2.log").write_text(f"without a time\n{json_line}\n")
    assert read_logs(tmp_path, ZERO_S) == (
        LogLine(1_500_000_000, "n2", json_line),
        LogLine(2_250_000_000, "n1", "n1 WARNING late"),
        LogLine(2_250_000_000, "n1", "  a second line of it"),
    )


def test_what_is_kept_has_limits(tmp_path: Path) -> None:
    long = "2026-03-01 12:00:01,000 " + "x" * 10_000 + "\n"
    (tmp_path / "n1.log").write_text(long * (LINES_MAX + 10))
    lines = read_logs(tmp_path, ZERO_S)
    assert len(lines[0].text) == CHARACTERS_MAX
    assert len(lines) <= LINES_MAX


def test_garbage_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "n1.log").write_bytes(
        b'\xff\x00{\n{"ts": 5}\n{"ts": "no"}\n2026-99-99 12:00:00 x\n' + b"[" * 5_000
    )
    assert read_logs(tmp_path, ZERO_S) == ()
    assert read_logs(tmp_path / "missing", ZERO_S) == ()
