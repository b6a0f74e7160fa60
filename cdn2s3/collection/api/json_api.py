"""The JSON API as a source of URLs, page by page."""

from __future__ import annotations

import logging

import requests

from cdn2s3.collection.api import quota
from cdn2s3.collection.api.client import Api
from cdn2s3.collection.api.page_request import ApiResponse
from cdn2s3.collection.api.pagination import Paging
from cdn2s3.collection.api.position import PagePosition
from cdn2s3.collection.base import Batch
from cdn2s3.collection.expressions import ItemError
from cdn2s3.errors import FatalError
from cdn2s3.settings.collection_settings import CollectionSettings

log = logging.getLogger(__name__)

STALE_PAGES = 100  # pages in a row with only known URLs that are always tolerated
_NAMED = 3  # items of a page to name, of those whose URL could not be taken


class ApiSource:
    """The API as a source of URLs."""

    def __init__(self, settings: CollectionSettings, session: requests.Session) -> None:
        """session is one by api_session."""
        self._api = Api(settings, session)
        self._paging = Paging(settings, self._api.auth.hidden)
        self._walked = 0  # pages before the walk began again: their URLs come again
        self.first = self._paging.first
        self.resume = self._paging.resume

    def read(self, position: PagePosition) -> Batch:
        """Return the page at position; raise FatalError when it cannot be read."""
        batch = read_page(self._api, self._paging, position, str(position))
        if batch.begins_again:
            self._walked = max(self._walked, position.pages)
        return batch

    def check_circle(self, position: PagePosition, stale: int) -> None:
        """Raise FatalError when the last `stale` pages, with only known URLs, are a loop."""
        check_loop(self._walked + position.pages, stale)


def read_page(api: Api, paging: Paging, position: PagePosition, name: str) -> Batch:
    """Return the page at position, called name in messages; raise FatalError when it cannot be read."""
    lost = paging.lost(position)
    if lost is not None:
        return lost
    return batch_of(paging, api.get(paging.request(position), name), position, name)


def batch_of(paging: Paging, reply: ApiResponse, position: PagePosition, name: str) -> Batch:
    """Return reply, which is the page at position, as a batch; name the items whose URL could not be taken."""
    batch = paging.read(reply, position)
    if batch.urls and isinstance(reply.content, dict) and "data" in reply.content:
        errors = quota.errors_in(reply.content)  # GraphQL: part of the data is missing
        batch.urls.extend(ItemError(name, quota.words_of(error)) for error in errors)
    _say_errors(batch, name)
    return batch


def check_loop(pages: int, stale: int) -> None:
    """Raise FatalError when the last `stale` of so many pages, with known or rejected URLs only, are a loop.

    An API may list everything two or three times, but not forever.
    """
    if stale > STALE_PAGES + pages * 3 // 4:
        raise FatalError(
            f"the last {stale} pages had only URLs that are already in the list, or are rejected: the API repeats "
            "itself in a loop, or URL_PREFIX is wrong. Correct it, or API_PAGINATION and its settings, or ask the "
            "API's owner."
        )


def _say_errors(batch: Batch, page: str) -> None:
    """Name the items of a page whose URL could not be taken; they are rejected."""
    errors = [url for url in batch.urls if isinstance(url, ItemError)]
    for error in errors[:_NAMED]:
        log.warning("%s, %s. This goes to rejected.txt", page, error)
    if len(errors) > _NAMED:
        log.warning("%s: %d items like these in all", page, len(errors))
