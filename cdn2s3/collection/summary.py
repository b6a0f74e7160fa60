"""The summary of a collection: progress line, last screen. Pure."""

from __future__ import annotations

import textwrap
import time
from pathlib import Path
from typing import Callable

from cdn2s3.collection import notes
from cdn2s3.collection.base import Progress, Verdict
from cdn2s3.collection.checkpoint import Checkpoint, Counts
from cdn2s3.collection.region_advice import CAVEAT, Advice
from cdn2s3.collection.url_list import rejected_file
from cdn2s3.console.rerun_hint import command
from cdn2s3.file_names import GONE_FILE
from cdn2s3.settings.collection_settings import CollectionSettings
from cdn2s3.text import bytes_text, duration, percentage, pluralize

PROGRESS_URLS = 10_000
PROGRESS_SECONDS = 60.0


class Ticker:
    """Decide when a progress line is due: after PROGRESS_URLS URLs or PROGRESS_SECONDS."""

    def __init__(self, urls: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._urls, self._at = urls, clock()

    def line(self, counts: Counts, progress: Progress | None = None) -> str | None:
        """Return the line when one is due, else None."""
        now = self._clock()
        new, seconds = counts.urls - self._urls, now - self._at
        if counts.urls // PROGRESS_URLS == self._urls // PROGRESS_URLS and seconds < PROGRESS_SECONDS:
            return None
        self._urls, self._at = counts.urls, now
        return progress_line(counts, new / seconds if seconds > 0 else None, progress)


def share(
    counts: Counts, expected: int | None, progress: Progress | None = None
) -> tuple[int, int | None, str]:
    """Return how many have been read, of how many, and of what: as the source says, or of the API's items if it
    reports their number, otherwise of the expected URLs (None: that is unknown too)."""
    if progress is not None and progress.total:
        return progress
    if counts.api_total:
        return counts.items, counts.api_total, "items"
    return counts.urls, expected, "URLs"


def of_all(progress: Progress) -> str:
    """Return how much of a source has been read, of how much."""
    if progress.what == "bytes":
        return f"{bytes_text(progress.done)} of {bytes_text(progress.total)}"
    return f"{progress.done:,} of {progress.total:,} {progress.what}"


def time_left(
    counts: Counts, expected: int | None, per_second: float, progress: Progress | None = None
) -> float | None:
    """Return the seconds to the end of the source at per_second new URLs; None if the end is unknown."""
    done, total, _ = share(counts, expected, progress)
    if not total or not 0 < done < total or per_second <= 0:
        return None
    return (total - done) / done * counts.urls / per_second


def progress_line(counts: Counts, per_second: float | None, progress: Progress | None = None) -> str:
    """Return the counts as one line; per_second is the rate of new URLs, None until it is meaningful."""
    parts = [pluralize(counts.urls, "URL")]
    if progress is not None and progress.total:
        parts.append(f"{of_all(progress)} ({percentage(progress.done / progress.total)})")
    elif counts.api_total:
        percent = 100 * counts.items / counts.api_total
        parts.append(f"{counts.items:,} of {counts.api_total:,} items ({percent:.1f}%)")
    if per_second is not None:
        parts.append(f"{per_second:,.0f} URLs/s")
        left = time_left(counts, None, per_second, progress)
        if left is not None:
            parts.append(f"ETA {duration(left)}")
    parts.append(pluralize(counts.duplicates, "duplicate"))
    parts.append(f"{counts.rejected:,} rejected")
    return ", ".join(parts)


def counts_table(done: Checkpoint, output: Path) -> str:
    """Return the counts and the paths of the files, one per line."""
    counts, update = done.counts, done.update
    rows = [(counts.urls, f"URLs in {output}")]
    if update is not None:
        rows += [
            (update.new, "new"),
            (
                update.known,
                "known" + (f", {update.changed:,} of them changed to a newer form" if update.changed else ""),
            ),
            (update.gone, f"gone; see {GONE_FILE}" if done.evidence else "not seen this time"),
        ]
    rows += [
        (counts.duplicates - (update.known if update else 0), "duplicates skipped"),
        (counts.rejected, f"rejected; reasons in {rejected_file(output)}"),
    ]
    if counts.without_url:
        rows.append((counts.without_url, "items without a URL"))
    if counts.lost:
        rows.append((counts.lost, "items without details (404)"))
    if counts.unreadable:
        rows.append((counts.unreadable, "parts that could not be read"))
    width = max(len(f"{number:,}") for number, _ in rows)
    return "".join(f"  {number:>{width},}  {what}\n" for number, what in rows) + notes.table(done.notes)


def end_line(found: Verdict) -> str:
    """Return how a collection ended, as one line: what confirms it, and whether to check something first."""
    if not found.evidence and not found.doubts:
        return "The collection is complete; an older version did it and did not record what confirms its end"
    if not found.evidence:
        return "The collection has ended, but check this first:"
    if found.doubts:
        return f"The collection has ended ({found.evidence}), but check this first:"
    return f"The collection is complete: {found.evidence}"


def verdict_lines(found: Verdict) -> str:
    """Return end_line() and the doubts, a line each."""
    return f"{end_line(found)}\n" + "".join(f"  ! {doubt}\n" for doubt in found.doubts)


def last_screen(done: Checkpoint, settings: CollectionSettings, found: Verdict, advice: Advice) -> str:
    """Return the last screen of a finished collection: evidence, doubts, counts, region, the next command."""
    return (
        f"\n{verdict_lines(found)}"
        + counts_table(done, settings.output_file)
        + (f"\n! {advice.doubt}\n" if advice.doubt and not advice.is_wrong else "")
        + f"\nRecommended region: {advice.region}\n"
        + _indented(advice.reason)
        + _indented(CAVEAT)
        + ("\n" + next_step(done))
    )


def next_step(done: Checkpoint) -> str:
    """Return what to do after a complete collection; without any URL there is nothing to migrate."""
    if done.counts.urls == 0:
        return (
            f"Next: correct the settings of the source, then\n  {command('collect_urls.py', '--restart')}\n"
        )
    if done.update is not None:
        delta = command("migrate.py", "--delta")
        return f"Next, to move what is new and renew what has changed:\n  {delta}\n"
    plan = command("migrate.py", "--plan")
    return f"Next: set DESTINATION_BUCKET and AWS_REGION in migration.env, then\n  {plan}\n"


def _indented(text: str) -> str:
    return textwrap.fill(text, 78, initial_indent="  ", subsequent_indent="  ") + "\n"
