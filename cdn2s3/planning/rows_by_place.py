"""Which objects have a row in completed.txt for which place, where images are in a bucket and in a folder."""

from __future__ import annotations

from cdn2s3.records import LOCAL, S3
from cdn2s3.state.key_index import Fingerprints
from cdn2s3.state.ledger import place_in


class RowsByPlace:
    """The objects (KeyMaker.object_id) with a row for each place: 20 bytes a row; for one thread."""

    def __init__(self) -> None:
        self._objects = {S3: Fingerprints(), LOCAL: Fingerprints()}

    def __getitem__(self, place: str) -> Fingerprints:
        return self._objects[place]

    def add(self, fields: list[bytes], object_id: bytes) -> str:
        """Note a row of completed.txt, as ledger.completed_fields() takes it, and return its place."""
        place = place_in(fields)
        self._objects[place].add(object_id)
        return place
