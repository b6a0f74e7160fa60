"""The requests of the AWS SDK, sent over the pooled connections: one set of proxies and authorities for everything.

botocore asks its `before-send` handlers for a response before it opens a connection of its own. By itself it knows
neither ALL_PROXY nor authorities besides those of one bundle.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import botocore.exceptions
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from urllib3 import HTTPResponse

from cdn2s3.errors import TransientError
from cdn2s3.http.connection import Buffer
from cdn2s3.http.deadline import Deadline
from cdn2s3.http.pool import host_header, request_head
from cdn2s3.http.requests_adapter import PooledAdapter

_SECONDS = 20.0  # for a request to a service that gives or names credentials (STS, SSO)
_OWN = "before-send.s3."  # S3Client sends these, within its caller's deadline


def send(
    adapter: PooledAdapter, request: AWSPreparedRequest, deadline: Deadline
) -> tuple[int, Mapping[str, str], bytes]:
    """Send a request that botocore has built and signed; return status, headers and body of the response.

    The names of the headers are in lower case. Raise as ConnectionPool.request does.
    """
    pool = adapter.pool(request.url)
    parts = urlsplit(request.url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {"Host": host_header(pool.origin)}
    for name, value in request.headers.items():
        if name.lower() not in {"expect", "host"}:
            headers[name] = value.decode("latin-1") if isinstance(value, bytes) else str(value)
    body: Any = request.body or b""
    if isinstance(body, str):
        body = body.encode()
    content: Buffer = body.read() if hasattr(body, "read") else body
    pieces = (request_head(request.method, target, headers), content)
    with pool.request(request.method, pieces, deadline) as answer:
        return answer.status, answer.headers, answer.body()


def as_aws_response(
    request: AWSPreparedRequest, status: int, headers: Mapping[str, str], body: bytes
) -> AWSResponse:
    """Return a response in botocore's form."""
    copied: Any = dict(headers)
    return AWSResponse(request.url, status, copied, HTTPResponse(io.BytesIO(body), preload_content=False))


def sender(adapter: PooledAdapter) -> Any:
    """Return a before-send handler for a session: it sends the requests of every client but those of S3."""

    def handle(request: AWSPreparedRequest, event_name: str, **unused: Any) -> AWSResponse | None:
        if event_name.startswith(_OWN):
            return None
        try:
            return as_aws_response(request, *send(adapter, request, Deadline(_SECONDS)))
        except TransientError as error:  # botocore's own kind, which it retries
            raise botocore.exceptions.EndpointConnectionError(
                endpoint_url=request.url, error=error
            ) from error

    return handle
