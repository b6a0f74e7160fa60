"""The factory of destinations: opens the one that the settings select."""

from __future__ import annotations

from typing import cast

from cdn2s3.destinations.base import Destination
from cdn2s3.destinations.local_folder import LocalFolder, open_folder
from cdn2s3.destinations.local_removal import LocalRemover
from cdn2s3.destinations.removal import Remover
from cdn2s3.destinations.s3.destination import S3Destination, S3Handover, open_bucket
from cdn2s3.destinations.s3.removal import S3Remover
from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.settings.declarations import MigrationSettings


def open_destination(
    settings: MigrationSettings, adapter: PooledAdapter, known: object = None
) -> Destination:
    """Return the destination of settings, which sends its requests over adapter.

    known is what handover() of the run's first process returned: then prepare() is done. Raise FatalError.
    """
    if settings.destination == "local":
        return open_folder(settings)
    return open_bucket(settings, adapter, cast("S3Handover | None", known))


def remover_of(settings: MigrationSettings, destination: Destination) -> Remover:
    """Return what undoes single objects of destination, one that open_destination() has opened."""
    if isinstance(destination, LocalFolder):
        return LocalRemover(destination)
    return S3Remover(settings, cast("S3Destination", destination))
