"""The page of a judged history, used as a reader uses it: clicked, typed at, and read."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from jepsen_like.history import FaultWindow
from tests.jepsen_like.browser import Browser
from tests.jepsen_like.check_pages import MS, page_of, skewed, stale_on_one_key

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("chromium") is None, reason="chromium is missing: apt-get install chromium"
    ),
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cut = FaultWindow("partition n2", 250 * MS, 330 * MS, verified=True)
    return page_of(tmp_path_factory.mktemp("page"), stale_on_one_key(), [cut])


def focused(browser: Browser) -> str:
    told = "document.activeElement.querySelector(':scope > title')?.textContent ?? ''"
    return str(browser.evaluate(told))


@pytest.mark.parametrize("dark", [False, True])
def test_it_opens_in_both_schemes_asks_for_nothing_and_complains_of_nothing(
    browser: Browser, page: Path, dark: bool
) -> None:
    browser.complaints.clear()
    browser.open(page, dark=dark)
    assert browser.text("h1") == "INVALID"
    assert " returned " in browser.text(".why")
    colour = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", colour))) < 3 * 64) is dark
    assert browser.complaints == []


def test_a_page_with_a_foreign_script_is_not_obeyed(browser: Browser, page: Path) -> None:
    other = page.with_name("other.html")
    text = page.read_text(encoding="utf-8")
    other.write_text(text + "<script>document.title = 'taken'</script>", encoding="utf-8")
    browser.complaints.clear()
    browser.open(other)
    assert "taken" not in browser.evaluate("document.title")
    assert any("Content Security Policy" in complaint for complaint in browser.complaints)


def test_the_reader_chooses_light_or_dark(browser: Browser, page: Path) -> None:
    browser.open(page)
    colours = {}
    for theme in ("dark", "light", "auto"):
        browser.click(f"input[value={theme}] + span")
        colours[theme] = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert colours["dark"] != colours["light"] == colours["auto"]


def test_without_a_mouse(browser: Browser, page: Path) -> None:
    """Tab into the counterexample, walk along its operations, read the details, close them."""
    browser.open(page)
    for _ in range(40):
        browser.key("Tab")
        if focused(browser):
            break
    assert focused(browser).startswith("write x ")
    browser.key("End")
    details = browser.text(".details p")
    assert details.startswith("read x -> ")
    assert re.search(r"line \d+ of the file", details)
    assert " is not possible at " in details
    browser.key("Home")
    assert focused(browser).startswith("write x ")
    browser.key("ArrowRight")
    assert browser.text(".details p") == focused(browser)
    browser.key("Escape")
    assert browser.evaluate("document.querySelector('.details').hidden") is True


def test_what_the_mouse_is_over_is_told(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.hover(".bar.stuck")
    assert browser.text(".details p").startswith("read x -> ")
    browser.click(".details button")
    assert browser.evaluate("document.querySelector('.details').hidden") is True


def test_zoom_by_keys_and_buttons(browser: Browser, page: Path) -> None:
    browser.open(page)
    figure = "figure:has(svg.zoomable)"
    scale = f"Number(document.querySelector('{figure} svg.zoomable').dataset.scale)"
    browser.click(f"{figure} [data-do=whole]")
    assert browser.evaluate(scale) == 1
    browser.click(f"{figure} [data-do=in]")
    assert browser.evaluate(scale) == 2
    browser.evaluate(f"document.querySelector('{figure} .operation[tabindex=\"0\"]').focus()")
    browser.key("+")
    assert browser.evaluate(scale) == 4
    browser.key("-")
    assert browser.evaluate(scale) == 2
    ticks = f"[...document.querySelectorAll('{figure} svg.zoomable > g:last-child text')].length"
    assert 3 < browser.evaluate(ticks) < 20
    browser.key("End")  # out of sight before; the drawing follows
    x = browser.evaluate("document.activeElement.querySelector('rect').hasAttribute('hidden')")
    assert x is False
    browser.key("Escape")
    assert browser.evaluate(scale) == 1
    browser.click(f"{figure} [data-do=focus]")
    assert browser.evaluate(scale) > 1
    assert (
        browser.evaluate(f"document.querySelector('{figure} .bar.stuck').hasAttribute('hidden')")
        is False
    )


def test_a_bar_stands_where_the_axis_says_it_does_at_every_zoom(
    browser: Browser, page: Path
) -> None:
    browser.open(page)
    figure = "figure:has(svg.zoomable)"
    measured = f"""(() => {{
      const svg = document.querySelector('{figure} svg.zoomable');
      const bar = svg.querySelector('.bar.stuck'), ticks = [...svg.querySelectorAll('text.t')]
        .filter((t) => !t.hasAttribute('hidden') && /^[0-9.]+$/.test(t.textContent));
      const [a, b] = [ticks[0], ticks.at(-1)]
        .map((t) => [Number(t.getAttribute('x')), Number(t.textContent)]);
      return a[1] + (Number(bar.getAttribute('x')) - a[0]) / (b[0] - a[0]) * (b[1] - a[1]);
    }})()"""
    told = "document.querySelector('.stuck').parentNode.querySelector('title').textContent"
    found = re.search(r"sent at ([0-9.]+) ms", browser.evaluate(told))
    assert found is not None
    browser.click(f"{figure} [data-do=whole]")
    assert browser.evaluate(measured) == pytest.approx(float(found[1]), abs=0.5)
    browser.click(f"{figure} [data-do=focus]")
    assert browser.evaluate(measured) == pytest.approx(float(found[1]), abs=0.1)


def test_a_fault_keeps_its_name_and_its_place_at_every_zoom(browser: Browser, page: Path) -> None:
    browser.open(page)
    figure = "figure:has(svg.zoomable)"
    measured = f"""(() => {{
      const svg = document.querySelector('{figure} svg.zoomable');
      const at = (name) => Number(svg.querySelector(name).getAttribute('x'));
      return [at('rect.band'), at('.band-label'), at('.bar.stuck')];
    }})()"""
    whole = "[data-do=whole]"
    browser.click(f"{figure} {whole}")
    band, label, stuck = browser.evaluate(measured)
    assert band == pytest.approx(label, abs=0.1)
    browser.click(f"{figure} [data-do=in]")
    zoomed_band, zoomed_label, zoomed_stuck = browser.evaluate(measured)
    assert zoomed_stuck - zoomed_band == pytest.approx(2 * (stuck - band), abs=0.5)
    assert zoomed_label == pytest.approx(zoomed_band, abs=0.3)


def test_the_table_of_keys_sorts(browser: Browser, page: Path) -> None:
    browser.open(page)
    column = (
        "[...document.querySelectorAll('.sortable tbody tr')].map((r) => r.cells[0].textContent)"
    )
    assert browser.evaluate(column)[0] == "x"
    browser.click(".sortable th:nth-child(1) button")
    assert browser.evaluate(column) == ["x", "y", "z"]
    browser.click(".sortable th:nth-child(1) button")
    assert browser.evaluate(column) == ["z", "y", "x"]
    head = "document.querySelector('.sortable th').getAttribute('aria-sort')"
    assert browser.evaluate(head) == "descending"


@pytest.mark.parametrize("width", [400, 1280])
def test_nothing_is_wider_than_the_screen(browser: Browser, page: Path, width: int) -> None:
    browser.open(page, width=width)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width


def test_a_cycle_of_transactions_is_drawn_and_told_edge_by_edge(
    browser: Browser, tmp_path: Path
) -> None:
    browser.complaints.clear()
    browser.open(page_of(tmp_path, skewed()))
    assert browser.evaluate("document.querySelectorAll('.edge').length") == 2
    assert "T1 read x as [], without 1, which T2 appended" in browser.text(".edges")
    browser.hover(".node")
    assert browser.text(".details p").startswith("T1 is process ")
    assert browser.complaints == []


def test_hostile_values_are_shown_and_never_run(browser: Browser, tmp_path: Path) -> None:
    evil = "</script><img src=x onerror=document.title='taken'>\"'"
    history = stale_on_one_key(value=lambda n: f"{n}{evil}", key=evil)
    browser.complaints.clear()
    browser.open(page_of(tmp_path, history))
    assert "taken" not in browser.evaluate("document.title")
    assert browser.evaluate("document.querySelectorAll('img').length") == 0
    assert "onerror" in browser.text("main")
    assert browser.complaints == []
