"""The counts of a run of variants.py, and its last screen."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from cdn2s3.console.progress import Count
from cdn2s3.console.rerun_hint import command
from cdn2s3.destinations.removal import BILLED
from cdn2s3.errors import CAUSES, EXIT_DONE, EXIT_SOME_FAILED
from cdn2s3.file_names import FAILED_VARIANTS_FILE
from cdn2s3.records import FOUND, RENEWED, REPLACED, STORED
from cdn2s3.state.journal import Totals
from cdn2s3.text import bytes_text, pluralize, redact
from cdn2s3.variants.drawn import NOT_AN_IMAGE, TOO_LARGE, UNDECODABLE
from cdn2s3.variants.maker import Made
from cdn2s3.variants.originals import Originals
from cdn2s3.variants.record import SMALLER
from cdn2s3.variants.undo import Selection, Undone

_REMEDIES = {
    UNDECODABLE: "open the original in a browser; if it is fine there, it has a format that variants are not made of",
    TOO_LARGE: "raise MAX_PIXELS if the machine has the memory, or do without",
    NOT_AN_IMAGE: "nothing: browsers scale an SVG themselves",
}
_WHAT = {
    STORED: "stored",
    RENEWED: "renewed, over variants of ours",
    REPLACED: "put over other objects (ON_EXISTING=overwrite)",
    FOUND: "found, with the same bytes",
    SMALLER: "not made, because the original is smaller than the size",
}


class Tally:
    """What has become of the originals of a run; for the main thread."""

    def __init__(self, due: int) -> None:
        self._due = due
        self.done = 0  # originals that have all their variants now
        self.failed: Counter[str] = Counter()  # by cause
        self._examples: dict[str, Made] = {}
        self._hows: Counter[str] = Counter()  # variants
        self._size = 0  # bytes of those that were written

    def count(self, made: Made) -> None:
        for row in made.variants:
            self._hows[row.how] += 1
            self._size += int(row.bytes) if row.how in (STORED, RENEWED, REPLACED) else 0
        if made.cause:
            self.failed[made.cause] += 1
            self._examples.setdefault(made.cause, made)
        elif not made.is_stopped:
            self.done += 1

    @property
    def failures(self) -> int:
        return sum(self.failed.values())

    @property
    def not_tried(self) -> int:
        return self._due - self.done - self.failures

    def totals(self) -> Totals:
        """Return it for the journal."""
        hows = self._hows
        return Totals(
            hows[STORED], hows[RENEWED], hows[REPLACED], hows[FOUND], failed=self.failures, size=self._size
        )

    @property
    def exit_code(self) -> int:
        """The exit code of a run that has come to its end."""
        return EXIT_SOME_FAILED if self.failures or self.not_tried else EXIT_DONE

    def progress(self) -> Count:
        ended = self.done + self.failures
        return Count(ended, self._size, self.failures, self.failures / max(ended, 1))

    def text(self, originals: Originals, state_dir: Path) -> list[str]:
        """Return the lines of the last screen."""
        before = originals.total - originals.due
        lines = [
            f"originals {originals.total:,} = done before {before:,} + done now {self.done:,} + failed "
            f"{self.failures:,} + not tried {self.not_tried:,}",
            *(f"variants {count:,} {_WHAT[how]}" for how, count in self._hows.most_common()),
        ]
        if self._size:
            lines.append(f"written {bytes_text(self._size)}")
        if originals.elsewhere:
            local = pluralize(originals.elsewhere, "completed row is", "completed rows are")
            lines.append(f"{local} in LOCAL_ROOT, not in the bucket: no variants of them")
        for cause, count in self.failed.most_common():
            made = self._examples[cause]
            remedy = _REMEDIES.get(cause) or CAUSES[cause].remedy
            lines.append(f"failed {count:,} {cause}: {remedy}")
            lines.append(f"    for example {redact(made.original.url)}: {made.message}")
        if self.failures:
            lines.append(f"all of them: {state_dir / FAILED_VARIANTS_FILE}")
        if self.failures or self.not_tried:
            lines.append(f"next: {command('variants.py')}")
        return lines


# --- undo ---


def plan_text(found: Selection, size: str | None) -> list[str]:
    """Return the lines that say what an undo would do."""
    of = f" of size {size}" if size else ""
    lines = [f"to delete: {pluralize(found.objects, 'variant')}{of}, {bytes_text(found.size)}"]
    lines += [f"stays: {count:,}, {why}" for why, count in found.stays.most_common()]
    if found.nothing:
        lines.append(
            f"to forget: {pluralize(found.nothing, 'line')} of originals that are smaller than their size"
        )
    return lines


class UndoTally:
    """What has become of the variants of an undo; for the main thread."""

    def __init__(self) -> None:
        self.gone = 0
        self._hidden = 0  # of them, by a delete marker
        self.stays: Counter[str] = Counter()
        self._example: dict[str, str] = {}

    def count(self, done: Undone) -> None:
        if done.is_gone:
            self.gone += 1
            self._hidden += done.is_hidden
        else:
            self.stays[done.why] += 1
            self._example.setdefault(done.why, done.row.variant_key)

    @property
    def ended(self) -> int:
        return self.gone + sum(self.stays.values())

    def totals(self) -> Totals:
        """Return it for the journal."""
        return Totals(undone=self.gone, failed=sum(self.stays.values()))

    def text(self) -> list[str]:
        lines = [f"undone: {self.gone:,}"]
        if self._hidden:
            lines.append(f"of these hidden by a delete marker: {self._hidden:,}; {BILLED}")
        for why, count in self.stays.most_common():
            lines.append(f"stays: {count:,}, {why}; for example {self._example[why]}")
        return lines
