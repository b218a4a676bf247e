"""The report in a real browser: it lays out without fetching, without errors, in both schemes."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from jepsen_like.report import html
from tests.jepsen_like.browser import Browser
from tests.jepsen_like.synthetic import synthetic_result

pytestmark = [
    pytest.mark.processes,
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("chromium") is None, reason="chromium is missing: apt-get install chromium"
    ),
]


def chromium(page: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            "chromium",
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *("--enable-logging=stderr", f"--user-data-dir={page.parent / 'profile'}"),
            *(*options, page.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


def test_the_browser_shows_the_verdict_and_complains_of_nothing(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    html.write(synthetic_result(seed=1, stale=True), page)
    shown = chromium(page, "--dump-dom")
    assert "INVALID" in shown.stdout
    assert shown.stdout.count("<svg") >= 3
    assert "CONSOLE" not in shown.stderr


@pytest.mark.parametrize("dark", [False, True])
def test_it_is_light_or_dark_as_the_reader_prefers(tmp_path: Path, dark: bool) -> None:
    page = tmp_path / "report.html"
    html.write(synthetic_result(seed=1), page)
    with Browser(tmp_path / "profile") as browser:
        browser.open(page, dark=dark)
        colour = browser.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", colour))) < 3 * 64) is dark
        assert browser.complaints == []
