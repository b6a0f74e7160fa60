"""urls.txt and rejected.txt as they grow, and the checkpoint that records how far they are.

urls.txt has each URL once, in the source's order; rejected.txt has the rejected URLs with the reason.

Memory: about 20 bytes per URL (see fingerprints), and the batch at hand.
"""

from __future__ import annotations

import itertools
import json
import logging
import re
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from cdn2s3.collection import checkpoint
from cdn2s3.collection.base import Batch, Ending, Position, Verdict
from cdn2s3.collection.checkpoint import Checkpoint, Counts, start_over
from cdn2s3.collection.expressions import ItemError
from cdn2s3.collection.notes import Notes
from cdn2s3.errors import FatalError, UsageError
from cdn2s3.file_names import REJECTED_FILE
from cdn2s3.keys import InvalidUrl, url_of
from cdn2s3.settings.collection_settings import CollectionSettings
from cdn2s3.settings.declarations import identities
from cdn2s3.state.files import AppendFile, cannot_read, cut_back
from cdn2s3.state.key_index import Fingerprints
from cdn2s3.state.ledger import timestamp
from cdn2s3.state.lines import encode, input_lines, numbered_records, whole_lines
from cdn2s3.url_notes import SAME, oddities

log = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 60.0  # at most, between two checkpoints

_FIRST = 3  # URLs that the CDN may be asked for
_SHOWN = 200  # characters of an example
_USER_PART = re.compile(r"(^|//)[^/?#]*@")


def rejected_file(output: Path) -> Path:
    """Return where the rejected URLs go: rejected.txt beside OUTPUT_FILE."""
    return output.with_name(REJECTED_FILE)


def does_not_fit(path: Path, why: str) -> FatalError:
    """Return the error for a file that the checkpoint does not match."""
    return FatalError(
        f"{path} is not the file that the checkpoint describes ({why}): lines were lost or changed. Put "
        f"that file back, or {start_over()}."
    )


class UrlList:
    """The two files, open for appending; used by one thread."""

    _walks_first = True  # False: an update, which meets each line of the list again

    def __init__(self, settings: CollectionSettings, so_far: Checkpoint) -> None:
        """Open the files, cut back to the lengths in so_far; raise FatalError when they do not match it."""
        output, rejected = settings.output_file, rejected_file(settings.output_file)
        self._settings = settings
        self._keys = identities(settings)
        self._seen = Fingerprints()
        self._met = Fingerprints() if so_far.again else None  # in a walk over known URLs: those that it met
        self._again = so_far.again
        self._novel = 0
        self._said_all_rejected = False
        self.counts = so_far.counts
        self.notes = Notes(so_far.notes)
        self._lengths = (so_far.bytes, so_far.rejected_bytes)  # after the last whole batch
        self._saved_urls, self._saved_at = so_far.counts.urls, time.monotonic()
        cut_file_back(output, so_far.bytes)
        cut_file_back(rejected, so_far.rejected_bytes)
        self._remember(output)
        self._urls = AppendFile(output)
        self._rejected = AppendFile(rejected)

    def __enter__(self) -> UrlList:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._urls.close()
        self._rejected.close()

    def _remember(self, output: Path) -> None:
        """Fill the set of URLs seen from urls.txt; raise FatalError if it is not the file that we wrote."""
        lines = 0
        for _, batch in numbered_records(output).batches():
            block = [line for _, line in batch]
            are_plain = self._keys.are_plain(block)
            for line in block:
                self._seen.add(line if are_plain else self._keys.identity_in_list(line))
            lines += len(block)
        unique = len(self._seen) if len(self._seen) == lines else _unique(output)
        if lines != self.counts.urls or unique != lines:
            raise does_not_fit(
                output, f"it has {lines:,} lines, {unique:,} of them unique, not {self.counts.urls:,}"
            )

    def add(self, batch: Batch) -> int:
        """Append the URLs of a batch that are valid and new; return how many this walk had not met yet.

        Raise FatalError when they cannot be written.
        """
        self._novel = 0
        new: list[bytes] = []
        rejected: list[bytes] = []
        duplicates = 0
        lines = [_line(url) for url in batch.urls]
        are_plain = self._keys.are_plain([line for line in lines if line is not None])
        for url, line in zip(batch.urls, lines):
            if url is None:
                continue
            try:
                identity = self._identity(line, are_plain)
            except InvalidUrl as error:
                rejected.append(_rejected_line(url, str(error)))
                self.notes.add(*_note_of(url, error))
                continue
            line = line or b""
            if not are_plain:
                for odd in oddities(url):
                    self.notes.add(f"URLs {odd}", url)
            if self._is_new(identity, line):
                new.append(line + b"\n")
            else:
                duplicates += 1
                if self._walks_first and not are_plain and identity != line:
                    self.notes.add(SAME, url)
        if new:
            self._urls.append(b"".join(new))
        if rejected:
            self._rejected.append(b"".join(rejected))
        before = self.counts
        not_met = len(new) if self._met is None else self._novel
        self.counts = Counts(
            urls=before.urls + len(new),
            duplicates=before.duplicates + duplicates,
            rejected=before.rejected + len(rejected),
            without_url=before.without_url + batch.without_url,
            items=before.items + batch.counted(not_met),
            api_total=before.api_total if batch.total is None else batch.total,
            unreadable=before.unreadable + batch.unreadable,
            blank=before.blank + batch.blank,
            lost=before.lost + batch.lost,
            open_ends=before.open_ends + batch.open_ends,
        )
        self.notes.merge(batch.notes)
        self._lengths = (self._urls.size(), self._rejected.size())
        if rejected and not new and not duplicates:
            self._say_all_rejected(rejected)
        return not_met

    def _is_new(self, identity: bytes, line: bytes) -> bool:
        """Remember a URL by its identity; return whether it was not in the list before."""
        if self._met is not None and self._met.add(identity):
            self._novel += 1
        return self._seen.add(identity)

    def _say_all_rejected(self, lines: list[bytes]) -> None:
        """Warn once about a batch whose URLs were all rejected; lines are its lines in rejected.txt."""
        if self._said_all_rejected:
            return
        self._said_all_rejected = True
        url, _, why = lines[0].decode().rstrip("\n").partition("\t")
        log.warning(
            "the last %d URLs were all rejected, for example %s: %s. If you want to "
            "migrate them, stop (Ctrl-C), correct URL_PREFIX and the settings that find the URLs, then %s",
            *(len(lines), url[:_SHOWN], why, start_over()),
        )

    def _identity(self, line: bytes | None, is_plain: bool) -> bytes:
        """Return what a line is known by, None being what is not a string; raise InvalidUrl when it is rejected."""
        if line is None:
            raise InvalidUrl("not a string")
        identity = self._keys.known(line, is_plain)[3]
        return identity if identity is line else identity + line[len(url_of(line)) :]

    def save_is_due(self) -> bool:
        """Return whether CHECKPOINT_INTERVAL URLs or CHECKPOINT_SECONDS have passed since the last save."""
        return (
            self.counts.urls - self._saved_urls >= self._settings.checkpoint_interval
            or time.monotonic() - self._saved_at >= CHECKPOINT_SECONDS
        )

    def begin_again(self, position: Position) -> None:
        """Keep the URLs, forget the rest: position is the source's beginning, from which all of it comes again."""
        self.counts = Counts(urls=self.counts.urls)
        self.notes = Notes()
        self._again, self._met = True, Fingerprints()
        self._lengths = (self._lengths[0], 0)
        self.save(position)
        self._rejected.cut_back(0)

    def finish(self, found: Verdict, ending: Ending | None) -> Verdict:
        """Record that the source is at its end, and what the collection is worth; return that."""
        self.save(None, **found._asdict(), ending=ending, finished_at=now())
        return found

    def save(self, position: Position | None, **more: Any) -> None:
        """Bring both files to the disk, then write the checkpoint; position None: the source is at its end.

        more are further fields of the checkpoint. Raise FatalError when the disk does not take them.
        """
        self._urls.sync_now()
        self._rejected.sync_now()
        at = Checkpoint(
            complete=position is None,
            counts=self.counts,
            bytes=self._lengths[0],
            rejected_bytes=self._lengths[1],
            position=None if position is None else position._asdict(),
            settings=checkpoint.source_settings(self._settings),
            again=self._again,
            notes=self.notes.found,
        )
        checkpoint.save(self._settings.checkpoint_file, at._replace(**more))
        self._saved_urls, self._saved_at = self.counts.urls, time.monotonic()


def first_urls(settings: CollectionSettings) -> list[str]:
    """Return the first few URLs in OUTPUT_FILE as they are sent, none if the file has no line.

    Raise UsageError when the file cannot be read or its first line is not a URL under URL_PREFIX.
    """
    output = settings.output_file
    try:
        lines = list(itertools.islice((line for line in input_lines(output) if line), _FIRST))
    except OSError as error:
        raise cannot_read(output, error, "OUTPUT_FILE") from error
    maker = identities(settings)
    urls: list[str] = []
    for line in lines:
        try:
            address = maker.address(line.decode(errors="surrogateescape"))
        except InvalidUrl as error:
            if urls:
                break
            raise UsageError(
                f"{output}: the first line is not a URL to migrate ({error}). Correct it."
            ) from error
        urls.append(f"{maker.origins[address.source]}{address.target}")
    return urls


def _unique(path: Path) -> int:
    """Return how many different lines path has: an older version has kept what is now one URL apart."""
    lines = Fingerprints()
    for line in whole_lines(path):
        lines.add(line)
    return len(lines)


def _note_of(url: Any, error: InvalidUrl) -> tuple[str, str]:
    """Return what a rejected URL is counted under, and the URL as its example."""
    if isinstance(url, ItemError):
        return f"rejected: {url['error']}", url["item"]
    return f"rejected: {error}", _USER_PART.sub(r"\1***@", url if isinstance(url, str) else json.dumps(url))


def _line(url: Any) -> bytes | None:
    """Return url as a line of urls.txt, None where it is not a string; a surrogate is not UTF-8, and so rejected."""
    return url.encode("utf-8", "surrogatepass") if isinstance(url, str) else None


def _rejected_line(url: Any, why: str) -> bytes:
    """Return a line of rejected.txt: the URL without its user part, and why; no tab in either."""
    if isinstance(url, ItemError):
        url, why = url["item"], url["error"]
    text = url if isinstance(url, str) else json.dumps(url)
    fields = (_USER_PART.sub(r"\1***@", text), why)
    return encode(fields)


def now() -> str:
    """Return the time in UTC, ISO 8601."""
    return timestamp(time.time())


def cut_file_back(path: Path, length: int) -> None:
    """Cut path back to length bytes; raise FatalError when it is shorter."""
    try:
        cut = cut_back(path, length)
    except ValueError as error:
        raise does_not_fit(path, str(error)) from error
    if cut:
        log.info(
            "%s: cut off the last %d bytes, written after the checkpoint; they are collected again", path, cut
        )
