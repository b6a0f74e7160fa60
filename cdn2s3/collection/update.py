"""A complete collection that is collected again: new URLs are appended, missing ones are named in gone.txt.

The walk appends new lines to urls.txt as they come and notes in a journal which known lines it has met. At its end,
finish() works from files alone, so that a start after a crash does the same: it counts, records that in the
checkpoint (with the digests of both files where urls.txt is to be replaced), writes gone.txt, replaces urls.txt
once, and only then calls the collection complete.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cdn2s3.atomic_file import replacing, sync_folder
from cdn2s3.collection import checkpoint
from cdn2s3.collection.base import Batch, Ending, Position, Verdict
from cdn2s3.collection.checkpoint import Checkpoint, Counts, Replacing, Update
from cdn2s3.collection.known_lines import KnownLines
from cdn2s3.collection.update_journal import Met, entry, journal_file
from cdn2s3.collection.url_list import UrlList, cut_file_back, does_not_fit, now
from cdn2s3.file_names import GONE_FILE, NEW_SUFFIX
from cdn2s3.settings.collection_settings import CollectionSettings
from cdn2s3.state.files import AppendFile, size_of
from cdn2s3.state.key_index import Numbered
from cdn2s3.state.ledger import seconds_of, timestamp
from cdn2s3.state.lines import numbered_records, whole_lines

log = logging.getLogger(__name__)


def gone_file(output: Path) -> Path:
    """Return where the URLs go that the source no longer gives: gone.txt beside OUTPUT_FILE."""
    return output.with_name(GONE_FILE)


def has_ended(so_far: Checkpoint) -> bool:
    """Return whether the walk of an update has come to its end, and only finish() is missing."""
    return not so_far.complete and so_far.update is not None and so_far.update.ended


def begin(settings: CollectionSettings, before: Checkpoint, position: Position) -> Checkpoint:
    """Write and return the checkpoint of an update of a complete collection that has met nothing yet.

    Raise FatalError when urls.txt is not what was collected: it would be cut back.
    """
    output = settings.output_file
    size = size_of(output)
    if size != before.bytes:
        raise does_not_fit(output, f"it is {size} bytes long, but the complete collection was {before.bytes}")
    begun = Checkpoint(
        complete=False,
        counts=Counts(urls=before.counts.urls),
        bytes=before.bytes,
        rejected_bytes=0,
        position=position._asdict(),
        settings=checkpoint.source_settings(settings),
        update=Update(
            before.counts.urls, before.finished_at or checkpoint.written_at(settings.checkpoint_file)
        ),
    )
    checkpoint.save(settings.checkpoint_file, begun)
    return begun


class UpdatedList(UrlList):
    """urls.txt while a complete collection is collected again; used by one thread."""

    _walks_first = False

    def __init__(self, settings: CollectionSettings, so_far: Checkpoint) -> None:
        if so_far.update is None:
            raise ValueError("no update is in progress")
        self._update = so_far.update
        self._known = KnownLines()
        self._entries: list[bytes] = []
        path = journal_file(settings.output_file)
        cut_file_back(path, self._update.journal_bytes)
        super().__init__(settings, so_far)
        self._journal = AppendFile(path)

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._journal.close()

    def _remember(self, output: Path) -> None:
        """Number the lines of urls.txt, and mark those that the update has met; raise FatalError as UrlList does."""
        for _, batch in numbered_records(output).batches():
            block = [line for _, line in batch]
            are_plain = self._keys.are_plain(block)
            for line in block:
                if self._known.add(line if are_plain else self._keys.identity_in_list(line), line):
                    self._entries.append(entry(len(self._known) - 1))  # met with its twin
        if len(self._known) != self.counts.urls:
            raise does_not_fit(output, f"it has {len(self._known):,} lines, not {self.counts.urls:,}")
        met = _met(journal_file(output), self._update)
        for number in range(len(self._known)):
            if number in met:
                self._known.meet(number)

    def _is_new(self, identity: bytes, line: bytes) -> bool:
        """Note that a URL was met; return whether it was not in the list before."""
        number = self._known.number(identity)
        is_new = number is None
        if number is None:
            number = len(self._known)
            self._known.add(identity, line)
        is_first = self._known.meet(number)
        self._novel += is_first if self._met is None else self._met.add(identity)
        if number >= self._update.lines:
            return is_new
        if self._keys.ignored_params and not self._known.is_same(number, identity, line):
            self._entries.append(entry(number, line))
        elif is_first:
            self._entries.append(entry(number))
        return False

    def add(self, batch: Batch) -> int:
        """Append the URLs of a batch that are valid and new; return how many this walk had not met yet.

        Raise FatalError when they cannot be written.
        """
        self._novel = 0
        super().add(batch)
        if self._entries:
            self._journal.append(b"".join(self._entries))
            self._entries.clear()
        self._update = self._update._replace(journal_bytes=self._journal.size())
        return self._novel

    def save(self, position: Position | None, **more: Any) -> None:
        """Save as UrlList does; once the walk has ended, what finish() has recorded stays."""
        if self._update.ended:
            return
        self._journal.sync_now()
        super().save(position, **{"update": self._update, **more})

    def finish(self, found: Verdict, ending: Ending | None) -> Verdict:
        """Bring the update to its end; return what the collection is worth, what is gone included."""
        ended = self._update._replace(ended=True)
        self.save(None, **found._asdict(), ending=ending, update=ended, complete=False)
        self._update = ended
        return finish(self._settings)


def finish(settings: CollectionSettings) -> Verdict:
    """Finish an update whose walk has ended, from what is on the disk; return what the collection is worth.

    Raise FatalError when a file is not what the checkpoint says.
    """
    output = settings.output_file
    ended = checkpoint.load(settings.checkpoint_file)
    if ended is None or ended.update is None:
        raise checkpoint.damaged(settings.checkpoint_file, "its update is gone")
    met = _met(journal_file(output), ended.update)
    if ended.update.newly_gone is None:
        ended = _counted(settings, ended, met)
    if ended.evidence and ended.update is not None:
        _write_gone(settings, ended.update, met)
    length = ended.bytes
    if ended.replacing is not None:
        _replace(output, ended.replacing, met)
        length = ended.replacing.new_bytes
    checkpoint.save(
        settings.checkpoint_file,
        ended._replace(complete=True, bytes=length, replacing=None, finished_at=now()),
    )
    journal_file(output).unlink(missing_ok=True)
    return Verdict(ended.evidence, ended.doubts)


def _met(journal: Path, update: Update) -> Met:
    try:
        return Met(journal, update.lines)
    except (ValueError, IndexError) as error:
        raise does_not_fit(journal, "it is not the journal of this update") from error


def _counted(settings: CollectionSettings, ended: Checkpoint, met: Met) -> Checkpoint:
    """Count what the walk has shown, build the new urls.txt where one is needed, and record both."""
    output = settings.output_file
    update = ended.update or Update(0, "")
    changed = met.changed()
    newly = sum(1 for *_, is_new in _gone(settings, update, met) if is_new) if ended.evidence else 0
    update = update._replace(
        known=met.known(),
        new=ended.counts.urls - update.lines,
        gone=update.lines - met.known(),
        newly_gone=newly,
        changed=changed,
    )
    counted = ended._replace(
        update=update,
        replacing=_built(output, met) if changed else None,
        doubts=(*ended.doubts, *gone_doubt(update)),
    )
    checkpoint.save(settings.checkpoint_file, counted)
    return counted


def gone_doubt(update: Update) -> list[str]:
    """Return what an update says against a list, in a sentence; empty if nothing."""
    if not update.newly_gone:
        return []
    count = update.newly_gone
    return [
        f"{count:,} {'URL is' if count == 1 else 'URLs are'} newly gone: the source no longer gives them. They stay in "
        f"the list; {GONE_FILE} names them."
    ]


def _gone(settings: CollectionSettings, update: Update, met: Met) -> Iterator[tuple[bytes, str, bool]]:
    """Yield each line that the update did not meet, when it was seen last, and whether it is newly gone."""
    before = _gone_before(gone_file(settings.output_file))
    for number, line in enumerate(itertools.islice(whole_lines(settings.output_file), update.lines)):
        if number not in met:
            since = before.get(line)
            yield line, update.last_seen if since is None else timestamp(since), since is None


def _gone_before(path: Path) -> Numbered:
    """Return when each line in gone.txt was seen last, in seconds since the epoch."""
    before = Numbered()
    for row in whole_lines(path):
        url, since, *key = row.split(b"\t") if b"\t" in row else (row, b"")
        seconds = seconds_of(since.decode("ascii", "replace"))
        if seconds is not None:
            before[b"\t".join((url, *key))] = seconds
    return before


def _row(line: bytes, since: str) -> bytes:
    """Return a row of gone.txt: the URL, when it was seen last, and the line's own key where it has one."""
    url, tab, key = line.partition(b"\t")
    return url + b"\t" + since.encode() + tab + key + b"\n"


def _write_gone(settings: CollectionSettings, update: Update, met: Met) -> None:
    path = gone_file(settings.output_file)
    if not update.gone and not path.exists():
        return
    rows = _gone(settings, update, met)
    with replacing(path) as file:
        file.writelines(_row(line, since) for line, since, _ in rows)


def _new_file(output: Path) -> Path:
    return output.with_name(output.name + NEW_SUFFIX)


def _built(output: Path, met: Met) -> Replacing:
    """Write urls.txt with the newest form of each line beside it; return what both files are."""
    old, new, sizes = hashlib.sha256(), hashlib.sha256(), [0, 0]
    with journal_file(output).open("rb") as journal, replacing(_new_file(output)) as file:
        for number, line in enumerate(whole_lines(output)):
            newest = met.newest(number, line, journal)
            for place, (digest, text) in enumerate(((old, line), (new, newest))):
                digest.update(text + b"\n")
                sizes[place] += len(text) + 1
            file.write(newest + b"\n")
    return Replacing(sizes[0], old.hexdigest(), sizes[1], new.hexdigest())


def _replace(output: Path, step: Replacing, met: Met) -> None:
    """Replace urls.txt, unless that was done; raise FatalError when it is neither the old file nor the new one."""
    found = _digest(output)
    if found == step.new_digest:
        return
    if found != step.old_digest:
        raise does_not_fit(output, "it is neither the list before the update nor the one after it")
    if _digest(_new_file(output)) != step.new_digest and _built(output, met) != step:
        raise does_not_fit(journal_file(output), "it is not the journal of this update")
    _new_file(output).replace(output)
    sync_folder(output.parent)


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    for line in whole_lines(path):
        digest.update(line + b"\n")
    return digest.hexdigest()
