"""The bar of a collection on a terminal: what stands in it, and that a line is never broken."""

from __future__ import annotations

import io

import pytest

from cdn2s3.collection.base import Progress
from cdn2s3.collection.checkpoint import Counts
from cdn2s3.collection.progress import CollectionBar
from tests.unit.console.test_progress import Clock, Terminal, terminal  # noqa: F401  # a fixture

HALF = Counts(urls=2_000, duplicates=12, rejected=3, items=1_005, api_total=2_010)


def last_line(shown: str) -> str:
    return [line for line in shown.replace("\n", "\r").split("\r") if line.strip()][-1].strip()


def shown_after(
    terminal: Terminal,  # noqa: F811
    counts: Counts,
    expected: int | None = None,
    before: Counts = Counts(),  # noqa: B008
) -> str:
    """Return what the bar shows ten seconds after before."""
    clock = Clock()
    bar = CollectionBar(before, expected, terminal.console, clock)
    clock.now += 10
    bar.show(counts)
    bar.close()
    return last_line(terminal.shown())


@pytest.mark.parametrize("terminal", [120], indirect=True)
def test_bar_has_percent_rate_eta_duplicates_and_rejected(terminal: Terminal) -> None:  # noqa: F811
    line = shown_after(terminal, HALF)
    assert line.startswith("50.0%|███")
    assert line.endswith("| 1,005/2,010 items, 200 URLs/s, ETA 10 s, 12 duplicates, 3 rejected")


@pytest.mark.parametrize(("terminal", "columns"), [(n, n) for n in (40, 60, 80, 120)], indirect=["terminal"])
def test_bar_fits_the_line(terminal: Terminal, columns: int) -> None:  # noqa: F811
    line = shown_after(terminal, HALF)
    assert len(line) < columns
    assert "1,005/2,010 items" in line


@pytest.mark.parametrize("terminal", [80], indirect=True)
def test_blocks_go_before_a_figure_does(terminal: Terminal) -> None:  # noqa: F811
    line = shown_after(terminal, HALF)
    assert line == "50.0% 1,005/2,010 items, 200 URLs/s, ETA 10 s, 12 duplicates, 3 rejected"


@pytest.mark.parametrize("terminal", [120], indirect=True)
def test_bar_without_the_apis_total_shows_the_share_of_what_is_expected(terminal: Terminal) -> None:  # noqa: F811
    line = shown_after(terminal, Counts(urls=1_000), expected=4_000)
    assert line.startswith("25.0%|")
    assert line.endswith("| 1,000/4,000 URLs, 100 URLs/s, ETA 30 s, 0 duplicates, 0 rejected")


def test_bar_without_any_total_counts(terminal: Terminal) -> None:  # noqa: F811
    assert shown_after(terminal, Counts(urls=1_000)) == "1,000 URLs, 100 URLs/s, 0 duplicates, 0 rejected"


def test_rate_of_a_resumed_collection_is_of_this_run(terminal: Terminal) -> None:  # noqa: F811
    line = shown_after(terminal, Counts(urls=1_000), before=Counts(urls=900))
    assert "10 URLs/s" in line


def test_more_items_than_the_api_said_are_a_full_bar(terminal: Terminal) -> None:  # noqa: F811
    assert shown_after(terminal, HALF._replace(items=2_011)).startswith("100.0%|")


def test_bar_that_is_closed_shows_the_last_counts_and_no_eta_of_seconds(terminal: Terminal) -> None:  # noqa: F811
    clock = Clock()
    bar = CollectionBar(Counts(), None, terminal.console, clock)
    clock.now += 10
    bar.show(HALF._replace(items=2_000))
    bar.show(HALF._replace(items=2_010))
    bar.close()
    shown = terminal.shown()
    assert last_line(shown).startswith("100.0%|")
    assert "ETA" not in shown


def test_no_terminal_no_bar() -> None:
    console = io.StringIO()
    bar = CollectionBar(Counts(), None, console)
    bar.show(HALF)
    bar.close()
    assert console.getvalue() == ""


@pytest.mark.parametrize("terminal", [140], indirect=True)
def test_bar_of_files_shows_the_bytes_read(terminal: Terminal) -> None:  # noqa: F811
    clock = Clock()
    bar = CollectionBar(Counts(), None, terminal.console, clock)
    clock.now += 10
    bar.show(Counts(urls=1_000), Progress(250_000_000, 1_000_000_000, "bytes"))
    line = last_line(terminal.shown())
    bar.close()
    assert line.startswith("25.0%|")
    assert "| 1,000 URLs, 250 MB of 1 GB, 100 URLs/s, ETA 30 s, 0 duplicates, 0 rejected" in line


@pytest.mark.parametrize("terminal", [140], indirect=True)
def test_bar_of_sitemaps_counts_them(terminal: Terminal) -> None:  # noqa: F811
    bar = CollectionBar(Counts(), None, terminal.console, Clock())
    bar.show(Counts(urls=1_000), Progress(5, 500, "sitemaps"))
    bar.close()
    assert "5/500 sitemaps" in last_line(terminal.shown())
