"""Where images belong: a bucket, a folder, or under DESTINATION=hybrid both, with PERCENT of the URLs in the bucket.

The share is taken by a hash of the URL's path, so that it needs no list: 10% is a part of 25%, and an application or
an edge function finds the same answer with one line (docs/share.md).
"""

from __future__ import annotations

from typing import NamedTuple

from cdn2s3.records import LOCAL, S3
from cdn2s3.share import SHARES, share_in

HYBRID = "hybrid"
KINDS = (S3, LOCAL, HYBRID)  # of DESTINATION
ALL = SHARES  # percent


class Placement(NamedTuple):
    """What DESTINATION and PERCENT say."""

    kind: str = S3  # one of KINDS
    percent: int = ALL  # 0 to 100

    @property
    def uses_bucket(self) -> bool:
        return self.kind != LOCAL

    @property
    def uses_folder(self) -> bool:
        return self.kind != S3

    @property
    def is_hybrid(self) -> bool:
        """Whether there are two places, so that each URL and each row has one of its own."""
        return self.kind == HYBRID

    @property
    def is_partial(self) -> bool:
        """Whether a part of the list is not selected."""
        return not self.is_hybrid and self.percent < ALL

    @property
    def places(self) -> tuple[str, ...]:
        """The places in use, the bucket first: records.S3, LOCAL."""
        return (S3, LOCAL) if self.is_hybrid else (self.kind,)

    @property
    def place_of_old_rows(self) -> str:
        """Where the objects of rows are that do not say it: they are older than a hybrid state."""
        return S3 if self.is_hybrid else self.kind

    def selects(self, line: bytes) -> bool:
        """Return whether the URL of a line belongs to the share that is moved; under hybrid everything is."""
        return not self.is_partial or share_in(line) < self.percent

    def place_of(self, line: bytes) -> str:
        """Return where the image of a line belongs today."""
        if not self.is_hybrid:
            return self.kind
        return S3 if share_in(line) < self.percent else LOCAL

    def counts(self, line: bytes, place: str) -> bool:
        """Return whether an object at place completes the URL of a line: it belongs there, or is in the bucket."""
        return not self.is_hybrid or place == S3 or self.place_of(line) == place
