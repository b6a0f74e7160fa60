"""What a collection has noted of its URLs, read from its files at its end: nothing of it is in the checkpoint."""

from __future__ import annotations

from pathlib import Path

from cdn2s3.collection.url_list import rejected_file
from cdn2s3.errors import FatalError
from cdn2s3.settings.declarations import CollectionSettings, identities
from cdn2s3.state.ledger import decode_line
from cdn2s3.state.lines import numbered_records, whole_lines
from cdn2s3.url_notes import UrlNotes


def notes_of(settings: CollectionSettings) -> list[str]:
    """Return what is odd about URLs in OUTPUT_FILE, and why others were rejected, a line for each kind."""
    try:
        return _odd(settings) + _rejected(rejected_file(settings.output_file))
    except FatalError:  # what cannot be read again, others say
        return []


def _odd(settings: CollectionSettings) -> list[str]:
    notes, keys = UrlNotes(), identities(settings)
    for _, batch in numbered_records(settings.output_file).batches():
        lines = [line for _, line in batch]
        if keys.are_plain(lines):
            continue
        for line in lines:
            notes.look(decode_line(line))
    return notes.lines()


def _rejected(path: Path) -> list[str]:
    notes = UrlNotes()
    for line in whole_lines(path):
        url, _, why = decode_line(line).rpartition("\t")
        notes.note(f"rejected: {why.partition('; ')[0]}", url)
    return notes.lines()
