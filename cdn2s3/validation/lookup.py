"""The look at single keys with HEAD: what the listing did not show, or shows otherwise than recorded."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import TypeVar, Union

from cdn2s3.console.rerun_hint import command
from cdn2s3.destinations.base import Found, KeyRefused, ReadRefused
from cdn2s3.destinations.factory import Destinations
from cdn2s3.errors import FatalError, TransientError
from cdn2s3.http.deadline import Deadline
from cdn2s3.resilience.fan_out import fan_out
from cdn2s3.resilience.retry import RetryPolicy, unless_stopped, with_retries
from cdn2s3.settings.declarations import MigrationSettings

Answer = Union[Found, ReadRefused, KeyRefused, None]  # None: nothing is there
About = TypeVar("About")


class Lookup:
    """HEAD requests at the places of a run, by as many threads as workers."""

    def __init__(self, destinations: Destinations, settings: MigrationSettings, workers: int) -> None:
        self._destinations = destinations
        self._settings = settings
        self._workers = workers

    def of_each(
        self, asked: Iterable[tuple[About, str, str]]
    ) -> AbstractContextManager[Iterator[tuple[About, str, Answer]]]:
        """Look at each of asked, which is about something, a place and a key; give the answers in any order.

        Raise FatalError where a store does not answer in spite of all retries.
        """
        stop = threading.Event()

        def look(one: tuple[About, str, str]) -> tuple[About, str, Answer]:
            about, place, key = one
            return about, place, self._found(place, key, stop)

        return fan_out(look, asked, self._workers, stop)

    def _found(self, place: str, key: str, stop: threading.Event) -> Answer:
        """Return what is at key in place; called by the pool's threads."""
        destination = self._destinations[place]

        def attempt() -> Answer:
            try:
                return destination.head(key, Deadline(self._settings.upload_timeout, stop))
            except (ReadRefused, KeyRefused) as refused:
                return refused

        try:
            return with_retries(attempt, RetryPolicy(self._settings.max_retries), unless_stopped(stop))
        except TransientError as error:
            raise FatalError(
                f"the {destination.name} did not show whether {key!r} exists: {error.message}. "
                f"Run `{command('validate.py')}` again later."
            ) from error
