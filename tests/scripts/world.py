"""The world of an end-to-end test: a CDN and a bucket over TLS, a list of URLs and the migration between them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Callable

from tests.fakes.s3 import S3Server
from tests.fakes.source import SourceServer
from tests.running import Migration, assert_consistent, assert_moved, key_of

NewWorld = Callable[..., "World"]


class World:
    """Servers with nothing wrong yet, and a migration that has not begun; a test breaks what it is about."""

    def __init__(self, source: SourceServer, s3: S3Server, job: Migration) -> None:
        self.source, self.s3, self.job = source, s3, job
        self.urls: list[str] = []

    def use(self, urls: Iterable[str]) -> None:
        """Let these be the URLs to move."""
        self.urls = list(urls)
        self.job.urls(self.urls)

    def key(self, url: str) -> str:
        return key_of(self.source, url)

    def has_completed(self, count: int) -> bool:
        return self.job.text("completed.txt").count("\n") >= count

    def writes(self) -> set[int]:
        """Return how often the images were written."""
        return {times for (_, key), times in self.s3.store.writes.items() if key.endswith(".jpg")}

    def assert_all_moved(self) -> None:
        assert self.job.failed() == {}
        assert_moved(self.job, self.source, self.s3, self.urls)
        assert_consistent(self.job, self.source, self.s3)

    def assert_all_moved_once(self, again: int = 0) -> None:
        """Assert that no image was written twice, and at most so many were downloaded again."""
        self.assert_all_moved()
        assert self.writes() == {1}
        assert sum(self.source.bodies.values()) <= len(self.urls) + again
