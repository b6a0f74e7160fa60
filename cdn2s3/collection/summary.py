"""The summary of a collection: progress line, completeness warnings, last screen. Pure."""

from __future__ import annotations

import textwrap
import time
from pathlib import Path
from typing import Callable

from cdn2s3.collection.checkpoint import Counts
from cdn2s3.collection.region_advice import CAVEAT, Advice
from cdn2s3.collection.url_list import rejected_file
from cdn2s3.console.rerun_hint import with_env_file
from cdn2s3.settings.declarations import CollectionSettings
from cdn2s3.text import duration, pluralize

PROGRESS_URLS = 10_000
PROGRESS_SECONDS = 60.0
TOTAL_TOLERANCE = 0.001  # of the API's total, and of EXPECTED_TOTAL
REJECTED_TOLERANCE = 0.001  # of the URLs that the source gave


class Ticker:
    """Decide when a progress line is due: after PROGRESS_URLS URLs or PROGRESS_SECONDS."""

    def __init__(self, urls: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._urls, self._at = urls, clock()

    def line(self, counts: Counts) -> str | None:
        """Return the line when one is due, else None."""
        now = self._clock()
        new, seconds = counts.urls - self._urls, now - self._at
        if counts.urls // PROGRESS_URLS == self._urls // PROGRESS_URLS and seconds < PROGRESS_SECONDS:
            return None
        self._urls, self._at = counts.urls, now
        return progress_line(counts, new / seconds if seconds > 0 else None)


def share(counts: Counts, expected: int | None) -> tuple[int, int | None, str]:
    """Return how many have been read, of how many, and of what: of the API's items if it reports their number,
    otherwise of the expected URLs (None: that is unknown too)."""
    if counts.api_total:
        return counts.items, counts.api_total, "items"
    return counts.urls, expected, "URLs"


def time_left(counts: Counts, expected: int | None, per_second: float) -> float | None:
    """Return the seconds to the end of the source at per_second new URLs; None if the end is unknown."""
    done, total, _ = share(counts, expected)
    if not total or not 0 < done < total or per_second <= 0:
        return None
    return (total - done) / done * counts.urls / per_second


def progress_line(counts: Counts, per_second: float | None) -> str:
    """Return the counts as one line; per_second is the rate of new URLs, None until it is meaningful."""
    parts = [pluralize(counts.urls, "URL")]
    if counts.api_total:
        percent = 100 * counts.items / counts.api_total
        parts.append(f"{counts.items:,} of {counts.api_total:,} items ({percent:.1f}%)")
    if per_second is not None:
        parts.append(f"{per_second:,.0f} URLs/s")
        left = time_left(counts, None, per_second)
        if left is not None:
            parts.append(f"ETA {duration(left)}")
    parts.append(pluralize(counts.duplicates, "duplicate"))
    parts.append(f"{counts.rejected:,} rejected")
    return ", ".join(parts)


def doubts(counts: Counts, settings: CollectionSettings) -> list[str]:
    """Return the completeness warnings of a finished collection, one sentence each; empty if there are none."""
    given = counts.urls + counts.duplicates + counts.rejected
    found = []
    if counts.urls == 0:
        found.append("there are no URLs. Check the settings of the source.")
    if settings.source == "api" and settings.api_total_field:
        found += _doubt_total(counts, "items" if settings.api_items_field else "URLs")
    expected = settings.expected_total
    if expected is not None and abs(counts.urls - expected) > expected * TOTAL_TOLERANCE:
        found.append(
            f"{pluralize(counts.urls, 'URL was', 'URLs were')} collected, but EXPECTED_TOTAL is {expected:,}: off "
            "by more than 0.1%."
        )
    if counts.rejected > given * REJECTED_TOLERANCE:
        found.append(
            f"{counts.rejected:,} of {given:,} URLs were rejected, more than 0.1%. "
            f"Read {rejected_file(settings.output_file)}; is URL_PREFIX right?"
        )
    if counts.unreadable:
        found.append(
            f"{pluralize(counts.unreadable, 'lot file')} could not be read, so their URLs are missing. collection.log "
            "names them; fix them, then start over with --restart."
        )
    return found


def _doubt_total(counts: Counts, what: str) -> list[str]:
    total = counts.api_total
    if total is None:
        return ["the API never returned the total (API_TOTAL_FIELD), so the count was not checked."]
    if abs(counts.items - total) <= total * TOTAL_TOLERANCE:
        return []
    return [
        f"{counts.items:,} {what} were seen, but the API reports {total:,}: off by more than 0.1%. "
        "Collect again with --restart when the API is quiet, or ask its owner."
    ]


def counts_table(counts: Counts, output: Path) -> str:
    """Return the counts and the paths of the files, one per line."""
    rows = [
        (f"{counts.urls:,}", f"URLs in {output}"),
        (f"{counts.duplicates:,}", "duplicates skipped"),
        (f"{counts.rejected:,}", f"rejected; reasons in {rejected_file(output)}"),
    ]
    if counts.without_url:
        rows.append((f"{counts.without_url:,}", "items without a URL"))
    if counts.unreadable:
        rows.append((f"{counts.unreadable:,}", "unreadable lot files"))
    width = max(len(number) for number, _ in rows)
    return "".join(f"  {number:>{width}}  {what}\n" for number, what in rows)


def last_screen(counts: Counts, settings: CollectionSettings, found: list[str], advice: Advice) -> str:
    """Return the last screen of a finished collection: counts, warnings, region, the next command."""
    verdict = "The collection is complete" + (", but check this first:" if found else ".")
    return (
        f"\n{verdict}\n"
        + "".join(f"  ! {doubt}\n" for doubt in found)
        + counts_table(counts, settings.output_file)
        + f"\nRecommended region: {advice.region}\n"
        + _indented(advice.reason)
        + _indented(CAVEAT)
        + ("\n" + next_step(counts))
    )


def next_step(counts: Counts) -> str:
    """Return what to do after a complete collection; without any URL there is nothing to migrate."""
    if counts.urls == 0:
        return with_env_file(
            "Next: correct the settings of the source, then\n  python collect_urls.py --restart\n"
        )
    return with_env_file(
        "Next: set DESTINATION_BUCKET and AWS_REGION in migration.env, then\n  python migrate.py --plan\n"
    )


def _indented(text: str) -> str:
    return textwrap.fill(text, 78, initial_indent="  ", subsequent_indent="  ") + "\n"
