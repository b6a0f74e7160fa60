"""What a sample found, as text."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from cdn2s3.commands.plan import row
from cdn2s3.errors import CAUSES
from cdn2s3.records import S3
from cdn2s3.reports import same_content
from cdn2s3.settings import cache_control
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.state.ledger import encode_line
from cdn2s3.text import MB, duration, redact
from cdn2s3.transfer.outcome import Result

PREFIX = "_test/"
_RATE_SECONDS = 5.0  # shortest sample whose rate is meaningful
_SHOWN = 10


class Comparison(NamedTuple):
    """An object of the sample beside the CDN's file."""

    key: str
    are_equal: bool | None  # None: it could not be compared
    why: str = ""  # why not; "" if it could


class Outcomes(NamedTuple):
    """The outcome of a sample."""

    results: list[Result]
    seconds: float  # time to move, without comparing and deleting
    same: int  # objects with the same bytes as on the CDN
    different: list[str]  # keys of the other objects
    unread: list[str]  # why objects could not be read back
    left: list[str]  # keys that could not be deleted

    @property
    def moved(self) -> list[Result]:
        return [result for result in self.results if result.stored is not None]

    @property
    def is_fine(self) -> bool:
        return len(self.moved) == len(self.results) == self.same and not self.left


def text(settings: MigrationSettings, outcomes: Outcomes, pending: int) -> list[str]:
    """Return the lines that report on a sample of pending URLs; settings are the run's own."""
    moved, seconds = outcomes.moved, max(outcomes.seconds, 0.001)
    size = sum(result.stored.size for result in moved if result.stored is not None)
    speed = len(moved) / seconds
    mbps = f"{size / MB:,.1f} MB in {duration(seconds)}: {speed:,.0f} files/s, {size / MB / seconds:.1f} MB/s"
    lines = [row("moved", f"{len(moved):,}", mbps), *_failures(outcomes.results)]
    lines.append(row("compared", f"{outcomes.same:,}", "read back; the same bytes as on the CDN"))
    lines += [row("different", "", key) for key in outcomes.different[:_SHOWN]]
    lines += _same_content(moved)
    lines += _caching(settings, moved)
    lines += [row("not read", "", why) for why in outcomes.unread[:_SHOWN]]
    lines += _left(settings, outcomes.left)
    if settings.placement.uses_bucket and (outcomes.unread or outcomes.left):
        lines += [
            "      a sample needs s3:PutObject, s3:GetObject and s3:DeleteObject on",
            f"      arn:aws:s3:::{settings.destination_bucket}/{PREFIX}*",
        ]
    lines += ["", *_forecast(speed, seconds, pending)]
    return lines


def _caching(settings: MigrationSettings, moved: Sequence[Result]) -> list[str]:
    """Return the rows that say which Cache-Control the files of each type have got, none where none is set."""
    if not settings.placement.uses_bucket or not settings.cache_control:
        return []
    policy = cache_control.policy(settings.cache_control)
    types = Counter(
        result.media_type for result in moved if result.stored is not None and result.stored.place == S3
    )
    return [
        row("caching", f"{count:,}", f"{media_type}: {policy.of(media_type) or 'no Cache-Control'}")
        for media_type, count in sorted(types.items())
    ]


def _failures(results: Sequence[Result]) -> list[str]:
    failed = [result for result in results if result.stored is None]
    lines = [row("failed", f"{len(failed):,}")] if failed else []
    for cause, count in Counter(result.cause for result in failed).most_common():
        example = next(result for result in failed if result.cause == cause)
        lines.append(row("", f"{count:,}", f"{cause}: {CAUSES[cause].meaning}; {example.message}"))
        lines.append(f"      {redact(example.url)}")
    return lines


def _left(settings: MigrationSettings, left: Sequence[str]) -> list[str]:
    if not left:
        return [row("deleted", "all")]
    lines = [row("left", f"{len(left):,}", "could not be deleted, or existed before:")]
    lines += [f"      {key}" for key in left[:_SHOWN]]
    if len(left) > _SHOWN:
        lines.append(f"      and {len(left) - _SHOWN:,} more")
    return [*lines, *(f"      -> {removal}" for removal in _removals(settings))]


def _removals(settings: MigrationSettings) -> list[str]:
    """Return the commands that remove what a sample left behind."""
    placement, removals = settings.placement, []
    if placement.uses_bucket:
        removals.append(f"aws s3 rm --recursive s3://{settings.destination_bucket}/{PREFIX}")
    if placement.uses_folder:
        folder = os.path.join(str(settings.local_root), PREFIX)  # noqa: PTH118  # keeps the slash
        removals.append(f"rm -r {shlex.quote(folder)}")
    return removals


def _forecast(speed: float, seconds: float, pending: int) -> list[str]:
    if not speed:
        return ["no forecast, because nothing was moved"]
    lines = [f"forecast: {pending:,} pending files at {speed:,.0f} files/s: {duration(pending / speed)}"]
    if seconds < _RATE_SECONDS:
        lines.append(f"          (from less than {_RATE_SECONDS:.0f} s: a larger sample is more accurate)")
    return lines


def _same_content(moved: Sequence[Result]) -> list[str]:
    """Return the row that says how many files of the sample have the content of another one, if some have."""
    rows = [[*map(encode_line, result.record(0.0)[:6])] for result in moved if result.stored is not None]
    same = same_content.among(rows)
    return [row("same", f"{same.urls:,}", same.text())] if same.most else []
