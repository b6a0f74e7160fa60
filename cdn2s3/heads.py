"""Ask the CDN for the heads of a few files: how large they are, and which edge location answers. No body moves."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from cdn2s3.errors import CannotGoOn, TryAgain
from cdn2s3.http.connection import Limit
from cdn2s3.http.pool import Wire, host_header, request_head
from cdn2s3.http.requests_adapter import USER_AGENT, PooledAdapter
from cdn2s3.settings.declarations import MigrationSettings

_WORKERS = 16
_SECONDS_EACH = 5.0


class Head(NamedTuple):
    """What a HEAD request for one file brought."""

    status: int | None  # None: no answer
    size: int | None  # bytes, of a 200; None where it is not told
    edge: str  # CloudFront's edge location (x-amz-cf-pop); "" where it is not told
    why: str  # why there is no answer; "" when there is


def heads(settings: MigrationSettings, targets: Sequence[str], seconds: float) -> list[Head]:
    """Ask for all targets (path and query, as keys.Address has them), in seconds in all; answers in order."""
    adapter = PooledAdapter(_WORKERS, settings.ca_bundle)
    wire = adapter.wire(settings.url_prefix)
    whole = Limit(seconds)
    try:
        with ThreadPoolExecutor(min(_WORKERS, max(1, len(targets)))) as pool:
            return list(pool.map(lambda target: _head(wire, target, whole), targets))
    finally:
        adapter.close()


def _head(wire: Wire, target: str, whole: Limit) -> Head:
    headers = {"Host": host_header(wire.origin), "User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
    try:
        limit = Limit(min(_SECONDS_EACH, whole.remaining()))
        with wire.exchange("HEAD", (request_head("HEAD", target, headers),), limit) as answer:
            length = answer.headers.get("content-length", "")
            known = answer.status == 200 and length.isascii() and length.isdigit()
            edge = answer.headers.get("x-amz-cf-pop", "")
            return Head(answer.status, int(length) if known else None, edge, "")
    except TryAgain as error:
        return Head(None, None, "", error.message)
    except CannotGoOn as error:  # a certificate that is not trusted: a finding, not the end of a plan
        return Head(None, None, "", str(error))
