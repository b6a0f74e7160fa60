"""The sources of a run: one CDN client for each scheme and host of URL_PREFIX, shared by all workers."""

from __future__ import annotations

import threading

from cdn2s3.cdn.client import CdnClient, Head
from cdn2s3.cdn.redirects import Redirects
from cdn2s3.cdn.source_headers import Concealer, Pairs
from cdn2s3.cdn.validators import NO_VALIDATORS, Validators
from cdn2s3.http.deadline import Deadline
from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.http.response import Response
from cdn2s3.keys import Address
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.url_prefixes import Prefixes


class Sources:
    """Fetch each file from the source that its address names; the clients are in the order of KeyMaker.origins."""

    def __init__(
        self,
        url_prefix: str,
        adapter: PooledAdapter,
        stop: threading.Event,
        headers: Pairs = (),
        redirects: str = "prefix",
    ) -> None:
        """headers and redirects are those of SOURCE_HEADERS and SOURCE_REDIRECTS."""
        prefixes = Prefixes(url_prefix)
        rule = Redirects(redirects, [prefix.url for prefix in prefixes.all], Concealer(headers))
        self.clients = []
        for origin in prefixes.origins:
            first = next(prefix.url for prefix in prefixes.all if prefix.origin == origin)
            self.clients.append(CdnClient(first, adapter, stop, rule, headers))
        if len(self.clients) > 1:  # a message must say which of them it is about
            for client, origin in zip(self.clients, prefixes.origins):
                client.name = f"source {origin}"

    def get(self, address: Address, deadline: Deadline, known: Validators = NO_VALIDATORS) -> Response:
        """Request the file of address, unless it is as known says; return and raise as CdnClient.get."""
        return self.clients[address.source].get(address.target, deadline, known)

    def head(self, address: Address, deadline: Deadline, by_get: bool = False) -> Head:
        """Return what the CDN says of the file of address; take by_get and raise as CdnClient.head."""
        return self.clients[address.source].head(address.target, deadline, by_get)

    def note_success(self, address: Address) -> None:
        """Note that the file of address has been received completely: the probe of its source requests it."""
        self.clients[address.source].note_success(address.target)

    def note_success_before(self, address: Address) -> None:
        """Note that an earlier run has received the file of address: see CdnClient."""
        self.clients[address.source].note_success_before(address.target)

    def close(self) -> None:
        """Close the idle connections."""
        for client in self.clients:
            client.close()


def sources_of(settings: MigrationSettings, adapter: PooledAdapter, stop: threading.Event) -> Sources:
    """Return the sources that settings name, over adapter."""
    headers = settings.source_headers.pairs
    return Sources(settings.url_prefix, adapter, stop, headers, settings.source_redirects)
