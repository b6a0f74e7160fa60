"""What a collection came to: when a progress line is due, what is doubtful, the last screen."""

from __future__ import annotations

from pathlib import Path

from cdn2s3.collection.base import Verdict
from cdn2s3.collection.checkpoint import Checkpoint, Counts, Update
from cdn2s3.collection.region_advice import CAVEAT, Advice
from cdn2s3.collection.summary import Ticker, last_screen, progress_line, time_left
from cdn2s3.settings.collection_settings import CollectionSettings
from cdn2s3.settings.loading import build


def settings_with(**values: str) -> CollectionSettings:
    defaults = {"API_BASE_URL": "https://api.test/", "EXPECTED_TOTAL": ""}
    return build(CollectionSettings, {**defaults, **values}, {}, Path("collection.env"))


def test_progress_line_has_the_share_of_the_total() -> None:
    counts = Counts(urls=20_000, duplicates=3, rejected=1, items=10_002, api_total=40_008)
    assert progress_line(counts, 812.4) == (
        "20,000 URLs, 10,002 of 40,008 items (25.0%), 812 URLs/s, ETA 1 min, 3 duplicates, 1 rejected"
    )


def test_progress_line_of_one_has_no_plural() -> None:
    assert progress_line(Counts(urls=1, duplicates=1), None) == "1 URL, 1 duplicate, 0 rejected"


def test_time_left_follows_from_the_share_that_is_read() -> None:
    half = Counts(urls=2_000, items=1_000, api_total=2_000)
    assert time_left(half, None, 100.0) == 20
    assert time_left(Counts(urls=1_000), 4_000, 100.0) == 30
    assert time_left(Counts(urls=1_000), None, 100.0) is None
    assert time_left(Counts(), 4_000, 100.0) is None
    assert time_left(half._replace(items=2_001), None, 100.0) is None
    assert time_left(half, None, 0.0) is None


def test_progress_line_is_due_at_each_ten_thousand_and_each_minute() -> None:
    now = [0.0]
    ticker = Ticker(9_000, clock=lambda: now[0])
    now[0] = 1.0
    assert ticker.line(Counts(urls=9_999)) is None
    assert "2,000 URLs/s" in (ticker.line(Counts(urls=11_000)) or "")
    now[0] = 60.9
    assert ticker.line(Counts(urls=11_100)) is None
    now[0] = 61.0
    assert "11,120 URLs, 2 URLs/s" in (ticker.line(Counts(urls=11_120)) or "")


def test_last_screen_says_what_is_there_and_what_to_type() -> None:
    counts = Counts(urls=20, duplicates=3, rejected=1, without_url=2, unreadable=4)
    done = Checkpoint(True, counts, 0, 0, None, {})
    screen = last_screen(
        done,
        settings_with(),
        Verdict("it is so", ("Something is off.",)),
        Advice("us-west-1", "Nearest to SFO53.", "The first URL is not there."),
    )
    for said in (
        "20  URLs in urls.txt",
        "1  rejected; reasons in rejected.txt",
        "2  items without a URL",
        "4  parts that could not be read",
        "! Something is off.",
        "! The first URL is not there.",
        "Recommended region: us-west-1",
        "Nearest to SFO53.",
        "python migrate.py",
    ):
        assert said in screen
    assert " ".join(CAVEAT.split()) in " ".join(screen.split())
    assert max(map(len, screen.splitlines())) <= 80


def test_last_screen_of_an_update_says_what_is_new_known_and_gone() -> None:
    update = Update(22, "2026-11-20T10:00:00Z", known=18, new=2, gone=4, newly_gone=1, changed=5)
    done = Checkpoint(
        True, Counts(urls=24, duplicates=19), 0, 0, None, {}, evidence="it is so", update=update
    )
    screen = last_screen(done, settings_with(), Verdict("it is so", ()), Advice("us-west-1", "Near."))
    for said in (
        "24  URLs in urls.txt",
        "2  new",
        "18  known, 5 of them changed to a newer form",
        "4  gone; see gone.txt",
        "1  duplicates skipped",
    ):
        assert said in screen
