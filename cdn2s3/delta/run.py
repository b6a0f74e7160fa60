"""The passes of a delta, in order, and what it leaves: new rows, changes.txt, and a completed.txt without old rows."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

from cdn2s3.console.rerun_hint import command
from cdn2s3.delta import summary
from cdn2s3.delta.known import KnownChanges
from cdn2s3.delta.looks import LookTally, looked_again, may_replace
from cdn2s3.delta.passes import Passes
from cdn2s3.delta.renewals import RenewalTally, renewals
from cdn2s3.delta.source_check import Price, SourceCheck, Trust, look_task, price, source_of
from cdn2s3.destinations.base import IN_PARTS, WHOLE
from cdn2s3.errors import FatalError
from cdn2s3.file_names import COMPLETED_FILE
from cdn2s3.keys import KeyMaker, divided
from cdn2s3.planning import cost_estimate, redo
from cdn2s3.planning.completed_rows import CompletedRows, recorded
from cdn2s3.planning.run_plan import refuse_strangers, urls_of
from cdn2s3.records import LOCAL, Recorded, Task
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.state import changes, run_binding
from cdn2s3.state.changes import RENEWED, REPLACED, Change
from cdn2s3.state.files import AppendFile
from cdn2s3.state.key_index import Fingerprints, Numbered
from cdn2s3.state.ledger import Completed, completed_fields, row_id, timestamp
from cdn2s3.state.lines import whole_lines
from cdn2s3.text import bytes_text, duration

log = logging.getLogger(__name__)

_TOLERATED = (
    0.05  # share of the images that is downloaded without --full, because nothing is known to ask with
)


class Delta:
    """One delta; used by the main thread of a run, or of a plan."""

    def __init__(self, settings: MigrationSettings, keys: KeyMaker, file: str, full: bool) -> None:
        """file names the URLs to look at, "": all of them. Raise UsageError when it cannot be used."""
        self._settings = settings
        self._keys = keys
        self._full = full
        words = [word for word in ("--delta", file, "--full" if full else "") if word]
        self.command = command("migrate.py", *words)  # which does it again
        self._state = settings.state_dir
        self._chosen: Fingerprints | None = None
        if file:
            self._chosen = urls_of(Path(file), "--delta", keys.object_id)
            refuse_strangers(Path(file), self._chosen, settings.source_urls_file, keys.object_id, "--delta")
        self._completed = self._state / COMPLETED_FILE
        self.rows = CompletedRows(self._completed, keys, settings.placement, self._chosen)
        self.has_begun = False  # True: the CDN has been asked
        self.looks: LookTally | None = None
        self.renewals: RenewalTally | None = None
        self.appended = 0  # rows of completed.txt that are of no newly completed URL

    # --- the passes

    def look(self, passes: Passes, plans: bool = False) -> bool:
        """Do the first pass, which replaces nothing, and judge it; return False when a signal has come.

        plans: nothing is written either. Raise FatalError where the changes look like a fault.
        """
        self.has_begun = True
        trust = self._trust(passes)
        if trust is None:
            return False
        known = KnownChanges(self._state, self._settings.source_urls_file, self._keys)
        tally = self.looks = LookTally(
            self._state,
            known,
            self._settings.max_change_rate,
            self._settings.max_error_rate,
            may_replace(self._settings.on_existing),
            notes_versions=not plans,
            watches_rate=self._chosen is None,
        )
        if not passes.run(self._look_tasks(trust), len(self.rows), tally):
            return False
        if len(tally.again):
            log.info("looking once more at %s URLs that failed", f"{len(tally.again):,}")
            if not passes.wait():
                return False
            again = tally.begin_second_look()
            if not passes.run(looked_again(again), len(again), tally):
                return False
        log.info("first pass: %s", tally.summary())
        tally.judge()
        return True

    def _look_tasks(self, trust: Trust) -> Iterator[Task]:
        for line, row in self.rows:
            known = recorded(row)
            yield look_task(line, known, *trust.known(known, source_of(self._keys, line)))

    def _trust(self, passes: Passes) -> Trust | None:
        """Return what the CDN may be asked with; None when a signal has come.

        Raise FatalError where nearly everything would be downloaded, unless that is meant.
        """
        if self._full:
            return Trust((False,) * len(self._keys.origins), False)
        trust = SourceCheck(self.rows, self._keys, passes, self._settings.outage_limit).trust()
        if trust is None:
            return None
        to_download = price(self.rows, self._keys, trust)
        if to_download.share > _TOLERATED:
            raise FatalError(self._too_dear(to_download, trust))
        if to_download.files:
            log.info(
                "%s images are downloaded and compared: no validators are known", f"{to_download.files:,}"
            )
        return trust

    def _too_dear(self, price: Price, trust: Trust) -> str:
        speed = cost_estimate.rate(self._settings, price.size / price.files)
        seconds = duration(price.files / speed.files_per_second)
        why = (
            "no validators are recorded"
            if any(trust.sources)
            else "the CDN answers no 304 that can be relied on"
        )
        return (
            f"{why}: a delta downloads {bytes_text(price.size)}, {price.files:,} of {price.of:,} images, {seconds} at "
            f"{speed.files_per_second:,.0f} files/s ({speed.source}). Nothing was replaced. If that is meant, run "
            f"`{command('migrate.py', '--delta', '--full')}`."
        )

    @property
    def has_to_write(self) -> bool:
        """Whether the first pass has found anything that the second one is to record in completed.txt."""
        return self.looks is not None and bool(len(self.looks.changed) or len(self.looks.versions))

    def ways(self) -> set[str]:
        """Return the ways (destinations.base.WHOLE, IN_PARTS) in which objects of a bucket are to be renewed."""
        assert self.looks is not None
        most, found = self._settings.max_buffer_bytes, set()
        for _, _, row, _, size, _ in self.looks.changed:
            if Recorded(*row).place != LOCAL:
                found.add(IN_PARTS if size >= most else WHOLE)
        return found

    def renew(self, passes: Passes, record: Callable[[Completed], None]) -> bool:
        """Do the second pass over what the first has found; return False when a signal has stopped it.

        record appends to completed.txt. Raise FatalError.
        """
        looks = self.looks
        assert looks is not None
        path = changes.begin(self._state, self._told())
        self._note_versions(record)
        tally = self.renewals = RenewalTally(AppendFile(path), self._state, self._settings.max_error_rate)
        total = len(looks.changed)
        if not total:
            return True
        try:
            if not passes.run(renewals(looks.changed), total, tally):
                return False
            if len(tally.again):
                log.info("renewing %s URLs once more that failed", f"{len(tally.again):,}")
                if not passes.wait():
                    return False
                return passes.run(tally.begin_second_pass(), len(tally.again), tally)
        finally:
            self.appended += tally.recorded
        return True

    def _told(self) -> Iterator[Change]:
        """Yield what the first pass has only to tell, and what is known of URLs that it has not looked at."""
        assert self.looks is not None
        if self._chosen is not None:
            known = KnownChanges(self._state, self._settings.source_urls_file, self._keys)
            yield from list(known.beyond(self._chosen))
        now = timestamp(time.time())
        for line, key, what, old, new, modified in self.looks.others:
            yield Change(line, key, what, old, new, modified, now)

    def _note_versions(self, record: Callable[[Completed], None]) -> None:
        """Append rows of unchanged objects whose validators are new: the next delta asks with those."""
        assert self.looks is not None
        if not len(self.looks.versions):
            return
        for line, key, fields, etag, modified in self.looks.versions:
            row = Recorded(*fields)
            record(
                Completed(
                    *(
                        divided(line)[0],
                        key,
                        str(row.size),
                        row.etag,
                        row.md5,
                        row.media_type,
                        row.finished_at,
                    ),
                    *(row.how, etag, modified, row.place),
                )
            )
            self.appended += 1

    # --- the end

    def finish(self) -> None:
        """Remove the rows of completed.txt that newer ones supersede, the old file kept as .bak; raise FatalError.

        After the last append. While a redo is open, which knows the rows by their place, they stay.
        """
        path, superseded = self._completed, self.rows.superseded
        if not (self.appended or superseded) or redo.open_redo(self._state) is not None:
            return
        began, last, kept = self.rows.count, Numbered(), bytearray()
        older_place = run_binding.first_place(self._settings)
        for number, line in enumerate(whole_lines(path)):
            if number >= began and (fields := completed_fields(line)):
                last[row_id(self._keys, fields, older_place)] = number
        for number, line in enumerate(whole_lines(path)):
            fields = completed_fields(line)
            newest = last.get(row_id(self._keys, fields, older_place)) if fields else None
            kept.append(newest in (None, number) and number not in superseded)
        redo.keep_only(path, kept)

    def close(self) -> None:
        """Let go of temporary files, and close changes.txt."""
        for tally in (self.looks, self.renewals):
            if tally is not None:
                tally.close()

    def done(self) -> tuple[dict[str, int], int]:
        """Return what has become of how many URLs so far, and how many bytes were put over objects."""
        counts = Counter(self.looks.counts if self.looks else ())
        if self.renewals is None:
            return dict(counts), 0
        counts.update(self.renewals.counts)
        return dict(counts), self.renewals.bytes

    @property
    def is_open(self) -> bool:
        """Whether something is left for a person: it failed, is changed at both ends, lost, or newly found."""
        looks, renewed = self.looks, self.renewals
        opened = sum(looks.new.values()) if looks else 0
        if renewed:
            opened += sum(count for what, count in renewed.counts.items() if what not in (RENEWED, REPLACED))
        return opened > 0

    def lines(self) -> list[str]:
        """Return what the last screen says of it."""
        return summary.lines(self.looks, self.renewals) if self.looks else []

    def as_json(self, stopped_by: str, ended_at: str) -> dict[str, Any]:
        """Return it for the report; stopped_by is what stopped the run, "" where it came to its end."""
        skipped = self.rows.count - len(self.rows)
        return summary.as_json(self.looks, self.renewals, skipped, stopped_by, ended_at)
