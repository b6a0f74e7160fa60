"""The rows of completed.txt that a delta looks at: the last one of each completed line of urls.txt."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from pathlib import Path

from cdn2s3.keys import KeyMaker
from cdn2s3.planning.survey import LineStatus, UrlSurvey
from cdn2s3.records import HOWS, UNKNOWN, Recorded
from cdn2s3.settings.placement import Placement
from cdn2s3.state.key_index import Fingerprints, KeyIndex
from cdn2s3.state.ledger import Completed, completed, completed_fields, decode_line, place_in
from cdn2s3.state.lines import whole_lines

_NONE = 0xFFFFFFFF  # no line: another row counts, or the URL is not in the list


class CompletedRows:
    """Find the rows while the state is surveyed (a RecordObserver), then yield them in the order of the file.

    For one thread. Memory: 4 bytes a row, and 4 bytes a completed line during the survey.
    """

    def __init__(
        self, path: Path, keys: KeyMaker, placement: Placement, chosen: Fingerprints | None = None
    ) -> None:
        """chosen are the objects (KeyMaker.object_id) to look at, None: all."""
        self._path = path
        self._keys = keys
        self._placement = placement
        self._chosen = chosen
        self.count = 0  # rows that have been observed, read or not
        self._of_lines = array("I")  # the first row of each completed line
        self._line_of = array("I")  # the line of each row, or _NONE
        self._work: UrlSurvey | None = None
        self.superseded: set[int] = set()  # the numbers of rows with a later one of the same object

    def __len__(self) -> int:
        return len(self._line_of) - self._line_of.count(_NONE)

    def on_record(self, fields: list[bytes]) -> None:
        self.count += 1

    def on_done(self, record: int) -> None:
        self._of_lines.append(record)

    def settle(self, work: UrlSurvey, index: KeyIndex) -> None:
        """Take the end of the survey: work is the list, index what it has left."""
        self._work = work
        self._line_of = array("I", [_NONE]) * self.count
        for (number, _), record in zip(work.lines_with(LineStatus.DONE), self._of_lines):
            self._line_of[record] = number
        self._of_lines = array("I")
        self._settle_repeated(set(index.repeated), work, index)
        if self._chosen is not None:
            self._leave_out(work, self._chosen)

    def _settle_repeated(self, repeated: set[int], work: UrlSurvey, index: KeyIndex) -> None:
        """Let the last row of a line count where it has several, of those whose place lets them count."""
        if not repeated:
            return
        last: dict[tuple[int, str], int] = {}
        counting: dict[int, int] = {}
        for record, line in enumerate(whole_lines(self._path)):
            if record not in repeated or not (fields := completed_fields(line)):
                continue
            number = index.line_with(fields[1])
            if number is None or self._keys.identity(work.line(number)) != self._keys.identity(fields[0]):
                continue
            place = self._place_of(fields[-1])
            if (number, place) in last:
                self.superseded.add(last[number, place])
            last[number, place] = record
            self._line_of[record] = _NONE
            if self._placement.counts(work.line(number), place):
                counting[number] = record
        for number, record in counting.items():
            self._line_of[record] = number

    def _leave_out(self, work: UrlSurvey, chosen: Fingerprints) -> None:
        for record, number in enumerate(self._line_of):
            if number != _NONE and self._keys.object_id(work.line(number)) not in chosen:
                self._line_of[record] = _NONE

    def __iter__(self) -> Iterator[tuple[str, Completed]]:
        """Yield each line of the list, as it is asked for, with its row; raise FatalError when one cannot be read."""
        assert self._work is not None
        for number, text in zip(self._line_of, whole_lines(self._path)):
            if number != _NONE and (row := completed(text)) is not None:
                yield (
                    decode_line(self._work.line(number)),
                    row._replace(place=self._place_of(text.split(b"\t")[-1])),
                )

    def _place_of(self, field: bytes) -> str:
        """Return the place of a row by its last field."""
        only = self._placement.place_of_old_rows
        return place_in([field], only) if self._placement.is_hybrid else only


def recorded(row: Completed) -> Recorded:
    """Return what a delta needs of a row."""
    how = row.how if row.how in HOWS else UNKNOWN
    return Recorded(
        how,
        row.etag,
        row.place,
        int(row.size),
        row.md5,
        row.source_etag,
        row.source_modified,
        row.media_type,
        row.finished_at,
    )
