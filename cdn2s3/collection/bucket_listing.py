"""The listing of a bucket as a source of URLs: SOURCE=s3. Each key is a URL under the first URL_PREFIX.

For the move of a CDN's own bucket: its keys are listed with the AWS credentials of this machine, the images come from
the CDN all the same.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

import requests

from cdn2s3.collection.base import Batch
from cdn2s3.collection.files.inventory import url_of
from cdn2s3.destinations.s3.client import S3Client
from cdn2s3.destinations.s3.listing import Listing
from cdn2s3.errors import FatalError
from cdn2s3.http.requests_adapter import adapter_of
from cdn2s3.settings.collection_settings import CollectionSettings
from cdn2s3.settings.declarations import MigrationSettings

log = logging.getLogger(__name__)

_MOST_EMPTY_PAGES = 100  # in a row, each with a token for more: a listing that makes no progress


class ListingPosition(NamedTuple):
    """Which page of the listing to read next."""

    pages: int  # read before it
    token: str | None  # what it is asked for with; None: it is the first

    def __str__(self) -> str:
        return f"page {self.pages + 1} of the listing"


class _SourceListing(Listing):
    """The pages of a listing, of a bucket that is the source."""

    def _failure(self, why: str) -> FatalError:
        said = why.replace("DESTINATION_BUCKET", "SOURCE_BUCKET")
        return FatalError(f"could not list the bucket {self._bucket} (SOURCE_BUCKET): {said}")


def as_bucket(settings: CollectionSettings, bucket: str, prefix: str = "") -> MigrationSettings:
    """Return the settings of an S3Client for a bucket that is a source."""
    return MigrationSettings(
        destination_bucket=bucket,
        destination_prefix=prefix,
        aws_region=settings.aws_region,
        aws_endpoint_url=settings.aws_endpoint_url,
        upload_timeout=settings.api_timeout,
        max_retries=settings.max_retries,
        ca_bundle=settings.ca_bundle,
    )


class BucketSource:
    """The keys of a bucket, page by page."""

    def __init__(self, settings: CollectionSettings, session: requests.Session) -> None:
        """session is one by api_session.

        Raise FatalError without credentials, UsageError when botocore has no address for the bucket.
        """
        self._bucket, _, prefix = settings.source_bucket.partition("/")
        self._url_prefix = settings.url_prefix
        as_destination = as_bucket(settings, self._bucket, prefix)
        client = S3Client(as_destination, adapter_of(session))
        self._listing = _SourceListing(client, as_destination)
        self._tokens: set[str] = set()
        self._empty_pages = 0

    def first(self) -> ListingPosition:
        return ListingPosition(0, None)

    def resume(self, stored: Mapping[str, Any]) -> ListingPosition:
        """Return the Position in a checkpoint; raise ValueError if it has none."""
        pages, token = stored.get("pages"), stored.get("token")
        if type(pages) is not int or pages < 0 or not (token is None or isinstance(token, str)):
            raise ValueError("its position is not for SOURCE=s3")
        return ListingPosition(pages, token)

    def read(self, position: ListingPosition) -> Batch:
        """Return the URLs of the keys on the page at position; raise FatalError when it cannot be read."""
        if position.token is not None:
            self._tokens.add(position.token)
        page = self._listing.page(position.token, self._tokens)
        self._empty_pages = 0 if page.objects else self._empty_pages + 1
        if self._empty_pages > _MOST_EMPTY_PAGES:
            raise FatalError(
                f"the listing of the bucket {self._bucket} continues without any key. Ask the store's owner."
            )
        keys = [found.key for found in page.objects if not found.key.endswith("/")]
        urls = [url_of(key, self._url_prefix) for key in keys]
        following = None if page.token is None else ListingPosition(position.pages + 1, page.token)
        folders = len(page.objects) - len(keys)
        return Batch(urls, following, items=len(page.objects), without_url=folders)

    def check_circle(self, position: ListingPosition, stale: int) -> None:
        """Do nothing: a token that comes again is refused."""
