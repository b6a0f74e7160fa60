"""The sources of a run: one CDN client for each scheme and host of URL_PREFIX, shared by all workers."""

from __future__ import annotations

import threading

from cdn2s3.cdn.client import CdnClient
from cdn2s3.http.deadline import Deadline
from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.http.response import Response
from cdn2s3.keys import Address
from cdn2s3.url_prefixes import Prefixes


class Sources:
    """Fetch each file from the source that its address names; the clients are in the order of KeyMaker.origins."""

    def __init__(self, url_prefix: str, adapter: PooledAdapter, stop: threading.Event) -> None:
        prefixes = Prefixes(url_prefix)
        self.clients = []
        for origin in prefixes.origins:
            first, *others = (prefix.url for prefix in prefixes.all if prefix.origin == origin)
            self.clients.append(CdnClient(first, adapter, stop, others))
        if len(self.clients) > 1:  # a message must say which of them it is about
            for client, origin in zip(self.clients, prefixes.origins):
                client.name = f"source {origin}"

    def get(self, address: Address, deadline: Deadline) -> Response:
        """Request the file of address; return and raise as CdnClient.get."""
        return self.clients[address.source].get(address.target, deadline)

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
