"""Requests to the bucket: signed here, or built and signed by the one boto3 client; sent over one transport.

boto3's client asks its `before-send` handlers for a response before it opens its own connection. Ours
sends the request over the pooled connections, within the caller's deadline: so one pool, one TLS context and
one layer of retries (none of botocore's) serve both ways of uploading.
"""

from __future__ import annotations

import dataclasses
import logging
import re
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import botocore.exceptions
import botocore.session
from botocore.awsrequest import AWSPreparedRequest, AWSRequest, AWSResponse
from botocore.config import Config

from cdn2s3.destinations.base import plain_etag
from cdn2s3.destinations.s3.credentials import (
    NO_CREDENTIALS,
    aws_session,
    credentials_of,
    not_renewed,
    sdk_errors,
)
from cdn2s3.destinations.s3.endpoint import Address, address_of, moved, named_in
from cdn2s3.destinations.s3.errors import meaning, region_in
from cdn2s3.destinations.s3.refusals import sentence_in
from cdn2s3.destinations.s3.sdk_transport import as_aws_response, send
from cdn2s3.destinations.s3.signing import (
    NO_BODY,
    UNSIGNED,
    Signer,
    payload_hash,
    query_string,
    quoted_key,
)
from cdn2s3.errors import FatalError, MigrationError, TransientError
from cdn2s3.http.connection import Buffer
from cdn2s3.http.deadline import Deadline
from cdn2s3.http.pool import ConnectionPool, host_header, request_head
from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.http.response import Response
from cdn2s3.resilience.retry import retry_after
from cdn2s3.resilience.throttling import code_in
from cdn2s3.settings.declarations import MigrationSettings

log = logging.getLogger(__name__)

NOT_IMPLEMENTED = 501  # the store works, but does not offer what the request asks for
_MD5_LIKE = re.compile(r"[0-9a-f]{32}")
# Operations on a bucket that is about to be created, or was just now: whose it is is known.
_OF_OUR_OWN = frozenset({"create_bucket", "put_public_access_block"})
# After these botocore would go on in the region that the answer names, and our own requests would not.
_WRONG_REGION = frozenset({"AuthorizationHeaderMalformed"})


class S3Response(NamedTuple):
    """A complete response of the store."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes
    proxy: str = ""  # that has forwarded it, and may have answered itself; "" for none

    @property
    def code(self) -> str:
        """The S3 error code, or "" (a success, a HEAD, or a middlebox that speaks no S3)."""
        return code_in(self.body) if self.status >= 300 else ""

    @property
    def sentence(self) -> str:
        """The store's own words about an error, for people; "" if it has none."""
        return sentence_in(self.body) if self.status >= 300 else ""

    @property
    def etag(self) -> str:
        return plain_etag(self.headers.get("etag", ""))

    @property
    def encryption(self) -> str:
        """How the store says that the object is encrypted, "" where it does not say."""
        return self.headers.get("x-amz-server-side-encryption", "")

    @property
    def md5(self) -> str:
        """The MD5 of the object as 32 hex digits, where its ETag may be one; "" elsewhere.

        With another encryption than AES256 it is none, even where it looks like one (S3 API Reference, "Object").
        """
        etag = self.etag
        return etag if _MD5_LIKE.fullmatch(etag) and self.encryption in ("", "AES256") else ""

    @property
    def is_refusal(self) -> bool:
        """Whether the permission is missing; a response to HEAD has no code."""
        return self.status == 403 and self.code in ("", "AccessDenied")

    @property
    def is_passing(self) -> bool:
        """Whether it is throttled, or an error of the server's: it shows nothing about what the store offers."""
        return self.status == 429 or (self.status >= 500 and self.status != NOT_IMPLEMENTED)

    @property
    def by_kms(self) -> bool:
        """Whether the object is encrypted with KMS: then its ETag is not an MD5."""
        return self.encryption.startswith("aws:kms")

    def error(self, action: str) -> MigrationError:
        """Return what this error response to action means for the run."""
        asked = retry_after(self.headers.get("retry-after"), time.time())
        region = self.headers.get("x-amz-bucket-region") or region_in(self.body)
        return meaning(self.status, self.code, action, asked, region, self.sentence, self.proxy)


def boto3_client(
    settings: MigrationSettings, core: botocore.session.Session, signs_payload: bool = False
) -> Any:
    """Return the S3 client of the session core; raise FatalError when it cannot be made.

    What S3_ADDRESSING_STYLE and signs_payload say comes over the `s3` section of the AWS profile; the rest of that
    section (accelerate, dual-stack) stays: botocore merges both (ClientArgsCreator.compute_s3_config). One thread at
    a time: making clients is not thread-safe (boto3 issue 1592).
    """
    import boto3  # 0.1 s: a worker process that signs its requests itself does without

    with sdk_errors():
        session = boto3.session.Session(botocore_session=core, region_name=settings.aws_region)
        of_s3: Any = {"payload_signing_enabled": True} if signs_payload else {}
        if settings.s3_addressing_style != "auto":
            of_s3["addressing_style"] = settings.s3_addressing_style
        config = Config(
            signature_version="s3v4",
            s3=of_s3 or None,
            retries={"mode": "standard", "total_max_attempts": 1},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            max_pool_connections=settings.concurrency,
        )
        return session.client("s3", endpoint_url=settings.aws_endpoint_url, config=config)


class _Route(NamedTuple):
    """An address, and what sends signed requests there."""

    address: Address
    pool: ConnectionPool
    host: str  # as in the Host header
    path: str  # before the slash and the key
    signer: Signer


class _SendAgain(Exception):
    """The request of call() was answered with a redirect that is followed."""


# What an operation of the boto3 client raises, beside our own errors; RuntimeError is botocore's word for new
# credentials that are expired already.
_SDK_ERRORS = (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError, RuntimeError)


def _not_sent(error: Exception, operation: str, credentials: Any) -> FatalError:
    """Return what an error of the SDK means before it sent a request to the bucket."""
    if isinstance(
        error, (botocore.exceptions.NoCredentialsError, botocore.exceptions.PartialCredentialsError)
    ):
        return FatalError(NO_CREDENTIALS)
    if isinstance(error, botocore.exceptions.ParamValidationError):
        return FatalError(f"boto3 refuses the request ({operation}): {error}")
    return not_renewed(error, credentials)


class S3Client:
    """Send requests to one bucket; shared by all threads."""

    def __init__(
        self, settings: MigrationSettings, adapter: PooledAdapter, address: Address | None = None
    ) -> None:
        """address is that of another S3Client of the run, so that this one need not make a boto3 client
        (0.15 s and 16 MB) before it calls one of its operations. Raise FatalError without credentials, UsageError
        when botocore has no address for the bucket.
        """
        self._settings = settings
        self._adapter = adapter
        self._session = aws_session(settings, adapter)
        self._credentials = credentials_of(self._session)
        self._own = threading.local()  # .limit, .reply: of the boto3 call that this thread is in
        self._boto3: Any = None
        self._making_boto3 = threading.Lock()
        self._moving = threading.Lock()
        self._owner = settings.expected_bucket_owner
        self._signs_payload = False
        self._route = self._route_to(address or self._found_address())

    @property
    def address(self) -> Address:
        """Where requests go at this moment."""
        return self._route.address

    def in_style(self, style: str) -> S3Client:
        """Return a client of the same bucket in an addressing style, path or virtual; raise as S3Client()."""
        return S3Client(dataclasses.replace(self._settings, s3_addressing_style=style), self._adapter)

    @property
    def signs_payload(self) -> bool:
        """Whether the signature covers the bodies of uploads; set before any other thread uses the client."""
        return self._signs_payload

    @signs_payload.setter
    def signs_payload(self, signs: bool) -> None:
        if signs != self._signs_payload:
            self._signs_payload, self._boto3 = signs, None
            self._session = aws_session(self._settings)  # boto3 makes one client of a session's class

    def _client(self) -> Any:
        """Return the one boto3 client, made when it is first needed."""
        with self._making_boto3:
            if self._boto3 is None:
                made = boto3_client(self._settings, self._session, self._signs_payload)
                self._boto3 = self._joined(made)
            return self._boto3

    def _joined(self, client: Any) -> Any:
        """Return client, which sends its requests where ours go, over our connections."""
        client.meta.events.register_first("before-sign.s3", self._redirect_boto3)
        if not self._signs_payload:
            client.meta.events.register_first("before-sign.s3.PutObject", _leave_body_unsigned)
        client.meta.events.register_first("before-send.s3", self._send_for_boto3)
        return client

    def _found_address(self) -> Address:
        # What the credentials may raise isn't the address's fault: let them raise it first.
        Signer(self._settings.aws_region, self._credentials).headers("GET", "/", {}, {})
        client = boto3_client(self._settings, self._session)
        address = address_of(client, self._settings.destination_bucket)
        self._boto3 = self._joined(client)
        return address

    def _route_to(self, address: Address) -> _Route:
        pool = self._adapter.pool(address.url)
        signer = Signer(address.region, self._credentials)
        return _Route(address, pool, host_header(pool.origin), address.path, signer)

    @property
    def endpoint(self) -> str:
        """The store's address for people: scheme, host and port."""
        return f"{self._route.pool.origin.scheme}://{self._route.host}"

    def open(
        self,
        method: str,
        key: str,
        deadline: Deadline,
        headers: Mapping[str, str] | None = None,
        body: Sequence[Buffer] = (),
        query: Mapping[str, str] | None = None,
    ) -> Response:
        """Send a signed request and return its response with the body unread; key "" is the bucket itself.

        headers have lower-case names; body is given in pieces. A 307 to the bucket's regional host is followed.
        Raise TransientError, Cancelled or FatalError.
        """
        while True:
            route = self._route
            path = f"{route.path}/{quoted_key(key)}" if key else route.path or "/"
            wanted = {"host": route.host, **(headers or {})}
            if self._owner:
                wanted["x-amz-expected-bucket-owner"] = self._owner
            payload = NO_BODY if not body else payload_hash(body) if self._signs_payload else UNSIGNED
            signed = route.signer.headers(method, path, query or {}, wanted, payload)
            if method == "PUT":
                signed["content-length"] = str(sum(len(piece) for piece in body))
            target = f"{path}?{query_string(query)}" if query else path
            answer = route.pool.request(method, (request_head(method, target, signed), *body), deadline)
            if answer.status != 307 or not self._follows(route.address.host, _named_by(answer)):
                return answer
            answer.close()

    def request(self, method: str, key: str, deadline: Deadline, **more: Any) -> S3Response:
        """Send a signed request and return its complete response; otherwise like open()."""
        with self.open(method, key, deadline, **more) as answer:
            return S3Response(answer.status, answer.headers, answer.body(), answer.proxy)

    def call(self, operation: str, deadline: Deadline, **params: Any) -> tuple[S3Response, dict[str, Any]]:
        """Call an operation of the boto3 client on the bucket; return the response and boto3's parsing of it.

        The parsing is empty if the response is an error. Raise TransientError, Cancelled or FatalError.
        """
        self._own.limit = deadline
        self._own.reply = None
        self._route.signer.credentials()  # boto3 would let through whatever a provider raises
        if self._owner and operation not in _OF_OUR_OWN:
            params["ExpectedBucketOwner"] = self._owner
        try:
            parsed = getattr(self._client(), operation)(Bucket=self._settings.destination_bucket, **params)
        except _SendAgain:
            return self.call(operation, deadline, **params)
        except _SDK_ERRORS as error:
            reply: S3Response | None = self._own.reply
            if reply is None:
                raise _not_sent(error, operation, self._credentials) from error
            if isinstance(error, botocore.exceptions.ClientError):
                return reply, {}
            raise TransientError(
                "server_error",
                f"the bucket's response to {operation} cannot be read ({type(error).__name__})",
                status=reply.status,
            ) from error
        return self._own.reply, parsed

    def own_buckets(self, deadline: Deadline) -> frozenset[str] | None:
        """Return the names of the account's buckets; None where it may not list them, or the store does not.

        Raise TransientError, Cancelled or FatalError.
        """
        self._own.limit = deadline
        self._own.reply = None
        try:
            found = self._client().list_buckets()
        except _SDK_ERRORS as error:
            reply: S3Response | None = self._own.reply
            if reply is None:
                raise _not_sent(error, "list_buckets", self._credentials) from error
            if reply.is_passing:
                raise reply.error("ListBuckets") from error
            return None
        return frozenset(str(bucket["Name"]) for bucket in found.get("Buckets", ()))

    def _follows(self, asked: str, named: str) -> bool:
        """Return whether to resend a request that the host asked answered with a 307 to the host named.

        If that is a regional host of the bucket, all requests go there from now on; another 307 is an error.
        """
        with self._moving:
            address = self._route.address
            if asked != address.host:
                return asked == address.left  # another thread has followed
            there = moved(address, self._settings.destination_bucket, named)
            if there is None:
                return False
            self._route = self._route_to(there)
        log.warning(
            "%s answered 307, as AWS does for a new bucket: this run continues at %s, the bucket's host in %s%s",
            asked,
            there.host,
            there.region,
            "" if there.region == address.region else f" (set AWS_REGION={there.region})",
        )
        return True

    def _redirect_boto3(self, request: AWSRequest, **unused: Any) -> None:
        """Let boto3 sign for the host that a 307 has led to; called by botocore in the calling thread."""
        address = self._route.address
        parts = urlsplit(request.url)
        if parts.netloc == address.left:
            request.url = parts._replace(netloc=address.host).geturl()
            request.context["signing"] = {**request.context.get("signing", {}), "region": address.region}

    def _send_for_boto3(self, request: AWSPreparedRequest, **unused: Any) -> AWSResponse:
        """Send the request that boto3 has built and signed; called by botocore in the calling thread."""
        reply = S3Response(*send(self._adapter, request, self._own.limit))
        self._own.reply = reply
        if reply.status == 307 and self._follows(
            urlsplit(request.url).netloc, named_in(reply.headers.get("location", ""), reply.body)
        ):
            raise _SendAgain
        if (300 <= reply.status < 400 and reply.status != 304) or reply.code in _WRONG_REGION:
            raise reply.error(request.method)  # botocore would follow it, round and round
        return as_aws_response(request, *reply[:3])


_UNSIGNED_BODY = Config(s3={"payload_signing_enabled": False})


def _leave_body_unsigned(request: AWSRequest, **unused: Any) -> None:
    """Let boto3 sign an image's headers alone, as signing.py does, its Content-MD5 or CRC among them.

    Elsewhere it computes the SHA-256 of a body that has no Content-MD5, or that goes over plain HTTP.
    """
    request.context["client_config"] = _UNSIGNED_BODY


def _named_by(answer: Response) -> str:
    """Return the host that a 307 names; its body is read only where it has no Location header."""
    location = answer.headers.get("location", "")
    return named_in(location, b"" if location else answer.body())
