"""What `migrate.py --check` asks a Dask worker: whether it could work. Runs there; the coordinator's code asks it."""

from __future__ import annotations

import os
from contextlib import closing
from typing import NamedTuple

from cdn2s3.bootstrap import allow_open_files
from cdn2s3.destinations.base import ReadRefused
from cdn2s3.destinations.factory import open_destinations
from cdn2s3.destinations.s3.iam import identity
from cdn2s3.errors import FatalError, MigrationError
from cdn2s3.executors.dask_messages import HeadersDigest, unpacked
from cdn2s3.http.deadline import Deadline
from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.settings.loading import with_own_headers

_SECONDS = 20.0  # for each request


class Question(NamedTuple):
    """What a worker needs to know for it: the settings without secrets, and the digest of SOURCE_HEADERS."""

    settings: MigrationSettings
    headers: HeadersDigest


class Inspection(NamedTuple):
    """What a worker has found out about itself."""

    credentials: str  # where they come from; "" without any
    problems: tuple[str, ...]  # what keeps it from working
    warnings: tuple[str, ...] = ()


async def inspect(question: bytes) -> Inspection:
    """Answer a packed Question, without holding up the Dask worker meanwhile; never raises a MigrationError."""
    import asyncio  # a run on this machine does without it

    return await asyncio.to_thread(inspected, *unpacked(question))


def inspected(settings: MigrationSettings, headers: HeadersDigest) -> Inspection:
    """Return what a run would meet on this machine, of which each fault is told by itself."""
    problems = []
    try:
        if not headers.fits(with_own_headers(settings, os.environ).source_headers):
            problems.append("SOURCE_HEADERS in its environment are not those of the coordinator")
        allow_open_files(settings.concurrency)
    except FatalError as error:
        problems.append(str(error))
    if settings.ca_bundle is not None and not settings.ca_bundle.is_file():
        return Inspection("", (*problems, f"there is no file {settings.ca_bundle} (CA_BUNDLE)"))
    try:
        with closing(PooledAdapter(2, settings.ca_bundle)) as adapter:
            found = identity(settings, adapter)
            source = f"{found.source}, key ...{found.key_end}"
            if found.refused:
                return Inspection(source, (*problems, found.refused))
            return Inspection(source, *_asked_of_the_bucket(settings, adapter, problems))
    except MigrationError as error:
        return Inspection("", (*problems, str(error)))


def _asked_of_the_bucket(
    settings: MigrationSettings, adapter: PooledAdapter, problems: list[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Write an object and look at it; return problems and warnings."""
    with closing(open_destinations(settings, adapter)) as destinations:
        for destination in destinations:
            if not destination.is_up():
                return (*problems, f"the {destination.name} does not take the probe"), ()
            try:
                destination.head(destination.probes_left[-1], Deadline(_SECONDS))
            except ReadRefused as refused:
                said = f"s3:GetObject is refused ({refused.action}): what a worker that dies has stored would fail as "
                return tuple(problems), (f"{said}`unverified`",)
    return tuple(problems), ()
