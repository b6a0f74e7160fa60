"""failed_transfers.txt: URLs tried and not completed, each once; rebuilt at a run's start and end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

from cdn2s3.errors import CAUSES
from cdn2s3.state.files import replacing, whole_lines
from cdn2s3.state.key_index import Fingerprints, Numbered
from cdn2s3.state.ledger import Failed, failed


def records(path: Path, start: int = 0) -> Iterator[Failed]:
    """Yield the records of path from byte offset start; a line that is none is left out."""
    for line in whole_lines(path, start):
        record = failed(line)
        if record is not None:
            yield record


def rebuild(path: Path, is_settled: Callable[[str], bool]) -> Counter[str]:
    """Write path anew with the last record of each URL that is not settled; return how many of each cause.

    is_settled tells of a URL whether it has been completed or will be recorded anew. Raise CannotGoOn when
    the disk does not take it; path is as it was then.
    """
    causes: Counter[str] = Counter()
    if not path.exists():
        return causes
    last = Numbered()
    for number, line in enumerate(whole_lines(path)):
        if failed(line) is not None:
            last[line[: line.find(b"\t")]] = number
    with replacing(path) as file:
        for number, line in enumerate(whole_lines(path)):
            record = failed(line)
            if record is None or last.get(line[: line.find(b"\t")]) != number or is_settled(record.url):
                continue
            file.write(line + b"\n")
            causes[record.cause] += 1
    return causes


def urls_in(path: Path, cause: str = "") -> Fingerprints:
    """Return the URLs of path, or those that failed for cause."""
    urls = Fingerprints()
    for record in records(path):
        if not cause or record.cause == cause:
            urls.add(record.url.encode("utf-8", "surrogateescape"))
    return urls


def transient(path: Path, start: int) -> Iterator[Failed]:
    """Yield the records of path from byte offset start whose cause may have passed."""
    return (
        record for record in records(path, start) if record.cause in CAUSES and CAUSES[record.cause].transient
    )
