"""The pages of a source that goes on and on: what is a loop, and what only looks like one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Callable, NamedTuple

import pytest

import collect_urls
from cdn2s3.collection import resume
from cdn2s3.collection.api.json_api import check_loop
from cdn2s3.collection.base import Batch, Ending
from cdn2s3.collection.url_list import UrlList
from cdn2s3.console.signals import Signals
from cdn2s3.errors import FatalError
from cdn2s3.settings.collection_settings import CollectionSettings
from cdn2s3.settings.loading import build

PREFIX = "https://cdn.test/"
PAGES = 450  # more than STALE_PAGES and three quarters of them


class Killed(BaseException):
    """The process is gone."""


class At(NamedTuple):
    number: int


class Pages:
    """A source of pages by number, each with the URLs that a function gives."""

    def __init__(self, urls_of: Callable[[int], list[str | None]]) -> None:
        self.urls_of = urls_of
        self.killed_at = -1
        self.expired_at = -1

    def first(self) -> At:
        return At(0)

    def resume(self, stored: Mapping[str, Any]) -> At:
        return At(**stored)

    def read(self, position: At) -> Batch:
        if position.number == self.killed_at:
            raise Killed
        if position.number == self.expired_at:
            self.expired_at = -1
            return Batch([], self.first(), begins_again=True)
        is_last = position.number == PAGES - 1
        ending = Ending("the end", "the end") if is_last else None
        following = None if is_last else At(position.number + 1)
        return Batch(self.urls_of(position.number), following, ending=ending)

    def check_circle(self, position: At, stale: int) -> None:
        check_loop(position.number, stale)


@pytest.fixture
def settings(tmp_path: Path) -> CollectionSettings:
    values = {
        "API_BASE_URL": "https://api.test/",
        "URL_PREFIX": PREFIX,
        "OUTPUT_FILE": str(tmp_path / "urls.txt"),
        "CHECKPOINT_FILE": str(tmp_path / "checkpoint.json"),
        "CHECKPOINT_INTERVAL": "1",
    }
    return build(CollectionSettings, values, {}, Path("collection.env"))


def run(settings: CollectionSettings, source: Pages, monkeypatch: pytest.MonkeyPatch) -> int:
    """Collect from the checkpoint on, as a new process does; return the number of URLs."""
    monkeypatch.setattr("cdn2s3.state.files.os.fsync", lambda fd: None)
    monkeypatch.setattr("cdn2s3.collection.url_list.CHECKPOINT_SECONDS", 0.0)
    so_far = resume.last_checkpoint(settings) or resume.begin_afresh(settings, source.first())
    with UrlList(settings, so_far) as urls:
        collect_urls.read_all(source, source.resume(so_far.position or {}), urls, settings, Signals())
        return urls.counts.urls


def test_items_without_an_image_are_no_loop(
    settings: CollectionSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Pages(lambda number: [f"{PREFIX}{number}.jpg"] if number in (0, PAGES - 1) else [None])
    assert run(settings, source, monkeypatch) == 2


@pytest.mark.parametrize(
    "url", [f"{PREFIX}same.jpg", "https://elsewhere.test/{}.jpg"], ids=["known", "rejected"]
)
def test_pages_without_anything_new_are_a_loop(
    settings: CollectionSettings, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    with pytest.raises(FatalError, match="in a loop, or URL_PREFIX is wrong"):
        run(settings, Pages(lambda number: [url.format(number)]), monkeypatch)


def test_kill_in_a_walk_that_began_again_is_no_loop(
    settings: CollectionSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Pages(lambda number: [f"{PREFIX}{number}.jpg"])
    for source.expired_at, source.killed_at in ((-1, PAGES - 1), (PAGES - 1, PAGES - 2)):
        with pytest.raises(Killed):
            run(settings, source, monkeypatch)
    source.killed_at = -1
    assert run(settings, source, monkeypatch) == PAGES
