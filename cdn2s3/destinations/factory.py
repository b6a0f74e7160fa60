"""The factory of destinations: opens those that the settings select, one for each place of images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import cast

from cdn2s3.destinations.base import Destination, Note
from cdn2s3.destinations.local_folder import LocalFolder, open_folder
from cdn2s3.destinations.local_removal import LocalRemover
from cdn2s3.destinations.removal import Remover
from cdn2s3.destinations.s3.destination import S3Destination, S3Handover, open_bucket
from cdn2s3.destinations.s3.removal import S3Remover
from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.settings.declarations import MigrationSettings


class Destinations:
    """The destinations of a run, one for each place in use (records.S3, LOCAL), the bucket first."""

    def __init__(self, by_place: Mapping[str, Destination]) -> None:
        self.by_place = dict(by_place)

    def __getitem__(self, place: str) -> Destination:
        return self.by_place[place]

    def __iter__(self) -> Iterator[Destination]:
        return iter(self.by_place.values())

    @property
    def endpoint(self) -> str:
        """The bucket's address, for reports; "" if no bucket is in use."""
        return next((one.endpoint for one in self if one.endpoint), "")

    @property
    def integrity(self) -> str:
        """What a run goes by (Destination.integrity), in the bucket if one is in use; after prepare()."""
        return next(iter(self)).integrity

    @property
    def integrity_text(self) -> str:
        """The same as Destination.integrity_text."""
        return next(iter(self)).integrity_text

    def prepare(self) -> None:
        """Let each find out what it proves, as Destination.prepare()."""
        for one in self:
            one.prepare()

    def prepare_renewing(self) -> None:
        """Let each find out how recorded objects can be replaced, as Destination.prepare_renewing()."""
        for one in self:
            one.prepare_renewing()

    def notes(self) -> list[Note]:
        """Return what they lack and what that means, as Destination.notes()."""
        return [note for one in self for note in one.notes()]

    def handover(self) -> dict[str, object]:
        """Return what prepare() has found out, picklable, for open_destinations() in another process."""
        return {place: one.handover() for place, one in self.by_place.items()}

    def close(self) -> None:
        """Close them all; never raises."""
        for one in self:
            one.close()


def open_destinations(
    settings: MigrationSettings, adapter: PooledAdapter, known: Mapping[str, object] | None = None
) -> Destinations:
    """Return the destinations of settings, which send their requests over adapter.

    known is what handover() of the run's first process returned: then prepare() is done. Raise FatalError.
    """
    with ExitStack() as opened:
        found: dict[str, Destination] = {}
        for place, own in settings.by_place.items():
            found[place] = open_destination(own, adapter, (known or {}).get(place))
            opened.callback(found[place].close)
        opened.pop_all()
    return Destinations(found)


def open_destination(
    settings: MigrationSettings, adapter: PooledAdapter, known: object = None
) -> Destination:
    """Return the destination of settings that have one place alone, as by_place gives them; else as above."""
    if settings.placement.uses_bucket:
        return open_bucket(settings, adapter, cast("S3Handover | None", known))
    return open_folder(settings)


def remover_of(settings: MigrationSettings, destination: Destination) -> Remover:
    """Return what undoes single objects of destination, one that open_destination() has opened."""
    if isinstance(destination, LocalFolder):
        return LocalRemover(destination)
    return S3Remover(settings, cast("S3Destination", destination))
