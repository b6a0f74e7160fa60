"""The pages in a real browser: nothing complains, nothing is fetched, nothing scrolls sideways on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cdn2s3.reports import html
from tests.tiers import slow
from tests.unit.reports.browser import CHROMIUM, DRIVER, WHY_NOT, Browser
from tests.unit.reports.sample_reports import empty_migration, migration, validation

pytestmark = pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason=WHY_NOT)

PHONE, DESK = 390, 1280


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser")) as started:
        yield started


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    html.write(folder / "migration.html", html.migration(migration()))
    html.write(folder / "nothing.html", html.migration(empty_migration()))
    html.write(folder / "validation.html", html.validation(*validation()))
    return folder


LOOKS = [
    pytest.param(PHONE, False, id="phone"),
    slow(PHONE, True, id="phone in the dark"),
    slow(DESK, False, id="desk"),
    slow(DESK, True, id="desk in the dark"),
]


@pytest.mark.parametrize("name", ["migration", "nothing", "validation"])
@pytest.mark.parametrize(("width", "dark"), LOOKS)
def test_page_is_quiet_and_fits(browser: Browser, pages: Path, name: str, width: int, dark: bool) -> None:
    page = pages / f"{name}.html"
    browser.look(width, dark)
    browser.open(page)
    assert browser.complaints() == []
    assert browser.requests() == [page.as_uri()]
    assert browser.ask("document.documentElement.scrollWidth") <= width
    assert browser.ask("document.querySelector('#verdict h1').getBoundingClientRect().bottom") < 800


@pytest.mark.parametrize(
    ("name", "charts"),
    [
        pytest.param("migration", 6, id="migration"),
        pytest.param("nothing", 0, id="nothing moved"),
        pytest.param("validation", 1, id="validation"),
    ],
)
def test_each_chart_is_drawn(browser: Browser, pages: Path, name: str, charts: int) -> None:
    browser.look(PHONE)
    browser.open(pages / f"{name}.html")
    sizes = "[...document.querySelectorAll('figure svg')].map(svg => svg.getBoundingClientRect())"
    drawn = browser.ask(f"{sizes}.filter(box => box.width > 250 && box.height > 80).length")
    shapes = "[...document.querySelectorAll('figure svg')].map(svg => svg.querySelector('.series, .rate').getBBox())"
    assert drawn == charts
    assert browser.ask(f"{shapes}.filter(box => box.width > 50 && box.height > 20).length") == charts


def test_pictures_of_the_contact_sheet_are_shown(browser: Browser, pages: Path) -> None:
    browser.look(DESK)
    browser.open(pages / "validation.html")
    pictures = browser.ask("[...document.images].map(image => image.naturalWidth)")
    assert len(pictures) > 50
    assert min(pictures) > 0


def test_hostile_text_stays_text(browser: Browser, pages: Path) -> None:
    browser.look(DESK)
    browser.open(pages / "migration.html")
    assert browser.ask("document.scripts.length") == 0
    assert browser.ask("document.body.textContent.includes('<script>alert(1)</script>')")


def test_dark_page_is_dark_and_its_text_is_not(browser: Browser, pages: Path) -> None:
    light = "[...getComputedStyle(document.body)[arguments[0]].matchAll(/\\d+/g)].reduce((a, b) => a + +b, 0)"
    for dark in (False, True):
        browser.look(DESK, dark)
        browser.open(pages / "migration.html")
        paper = browser.ask(light.replace("arguments[0]", "'backgroundColor'"))
        text = browser.ask(light.replace("arguments[0]", "'color'"))
        assert (paper < 200 and text > 600) if dark else (paper > 700 and text < 200)
