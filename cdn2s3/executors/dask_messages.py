"""What the coordinator of a Dask cluster and its workers tell each other.

Everything goes as bytes through Dask's queues: what is in a task is logged and shown, what is in a queue is not.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterable, Mapping
from hashlib import pbkdf2_hmac
from pathlib import Path
from typing import Any, NamedTuple

from cdn2s3.executors.handing_out import Report
from cdn2s3.records import Share
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.settings.parsers import Headers

PING_EVERY = 5.0  # seconds between two orders to a worker, which may be empty
SILENCE = 30.0  # seconds without an order after which a worker takes its coordinator for gone
_ROUNDS = 100_000  # of the digest of the headers, so that nobody finds them by trying


class HeadersDigest(NamedTuple):
    """What shows whether two machines have the same SOURCE_HEADERS, without telling them."""

    salt: bytes
    digest: bytes

    def fits(self, headers: Headers) -> bool:
        return _digest(self.salt, headers) == self.digest


def headers_digest(headers: Headers) -> HeadersDigest:
    """Return the digest of headers with a salt of its own."""
    salt = os.urandom(16)
    return HeadersDigest(salt, _digest(salt, headers))


def _digest(salt: bytes, headers: Headers) -> bytes:
    text = "\n".join(sorted(f"{name.lower()}: {value}" for name, value in headers.pairs))
    return pbkdf2_hmac("sha256", text.encode(), salt, _ROUNDS)


class Job(NamedTuple):
    """The first order to a worker: what the run is, without its secrets."""

    settings: MigrationSettings
    headers: HeadersDigest  # of SOURCE_HEADERS, which the worker has in its own environment
    known: Mapping[str, object]  # what the coordinator knows about the destinations, by place
    share: Share  # of its machine's workers and cores
    bandwidth: float  # bytes a second; 0: no limit
    received_before: Iterable[str]  # URLs that the probes of sources may ask for
    env_file: Path  # the coordinator's, for messages


class NewBandwidth(NamedTuple):
    """The order to download so many bytes a second at most."""

    bytes_a_second: float


class Received(NamedTuple):
    """The order to note that another worker has received this URL: the probe of its source may ask for it."""

    url: str


class Told(NamedTuple):
    """What a worker tells its coordinator."""

    member: int  # its number in the run
    report: Report
    has_ended: bool = False  # True: this is its last report


def packed(message: object) -> bytes:
    return pickle.dumps(message, pickle.HIGHEST_PROTOCOL)


def unpacked(content: bytes) -> Any:
    return pickle.loads(content)  # noqa: S301  # from our own code, over Dask's lines
