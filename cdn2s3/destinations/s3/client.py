"""Requests to the bucket: signed here, or built and signed by the one boto3 client; sent over one transport.

boto3's client asks its `before-send` handlers for an answer before it opens a connection of its own. Ours
sends the request over the pooled connections, within the caller's deadline: so one pool, one TLS context and
one layer of retries (none of botocore's) serve both ways of uploading.
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import botocore.exceptions
import botocore.session
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config
from urllib3 import HTTPResponse

from cdn2s3.destinations.s3.errors import code_in, meaning, region_in
from cdn2s3.destinations.s3.signing import NO_CREDENTIALS, Signer, not_renewed, query_string, quoted_key
from cdn2s3.errors import FatalError, MigrationError
from cdn2s3.http.connection import Buffer
from cdn2s3.http.deadline import Deadline
from cdn2s3.http.pool import host_header, request_head
from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.http.response import Response
from cdn2s3.resilience.retry import retry_after
from cdn2s3.settings.declarations import MigrationSettings

# Operations on a bucket that is about to be created, or was just now: whose it is is known.
_OF_OUR_OWN = frozenset({"create_bucket", "put_public_access_block"})


class S3Response(NamedTuple):
    """A whole answer of the store."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    @property
    def code(self) -> str:
        """The S3 error code, or "" (a success, a HEAD, or a middlebox that speaks no S3)."""
        return code_in(self.body) if self.status >= 300 else ""

    @property
    def etag(self) -> str:
        return self.headers.get("etag", "").strip('"')

    def error(self, action: str) -> MigrationError:
        """Return what this error answer to action means for the run."""
        asked = retry_after(self.headers.get("retry-after"), time.time())
        region = self.headers.get("x-amz-bucket-region") or region_in(self.body)
        return meaning(self.status, self.code, action, asked, region)


def aws_session(settings: MigrationSettings) -> botocore.session.Session:
    """Return the session of the AWS SDK that credentials and client come from."""
    with _sdk_errors():
        core = botocore.session.Session()
        core.set_config_variable("metadata_service_timeout", 5)
        core.set_config_variable("metadata_service_num_attempts", 5)
        core.set_config_variable("ignore_configured_endpoint_urls", True)  # only AWS_ENDPOINT_URL counts
        return core


def credentials_of(session: botocore.session.Session) -> Any:
    """Return the credentials that the AWS chain finds, which renew themselves; None where it finds none."""
    with _sdk_errors():
        return session.get_credentials()


def boto3_client(settings: MigrationSettings, core: botocore.session.Session) -> Any:
    """Return the S3 client of the session core; raise FatalError when it cannot be made.

    One thread at a time: making clients is not thread-safe (boto3 issue 1592).
    """
    import boto3  # 0.1 s: a worker process that signs its requests itself does without

    with _sdk_errors():
        session = boto3.session.Session(botocore_session=core, region_name=settings.aws_region)
        config = Config(
            signature_version="s3v4",
            retries={"mode": "standard", "total_max_attempts": 1},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            max_pool_connections=settings.concurrency,
        )
        return session.client("s3", endpoint_url=settings.aws_endpoint_url, config=config)


@contextmanager
def _sdk_errors() -> Iterator[None]:
    try:
        yield
    except (botocore.exceptions.BotoCoreError, ValueError) as error:
        raise FatalError(
            f"the AWS SDK cannot be set up: {error}. Check AWS_PROFILE and AWS_REGION."
        ) from error


class S3Client:
    """Send requests to one bucket; shared by all threads."""

    def __init__(self, settings: MigrationSettings, adapter: PooledAdapter, object_url: str = "") -> None:
        """object_url is that of another S3Client of the run, so that this one need not make a boto3 client
        (0.15 s and 16 MB) before it calls one of its operations.
        """
        self._settings = settings
        self._session = aws_session(settings)
        self._signer = Signer(settings.aws_region, credentials_of(self._session))
        self._own = threading.local()  # .limit, .reply: of the boto3 call that this thread is in
        self._boto3: Any = None
        self._making_boto3 = threading.Lock()
        self.object_url = object_url or self._object_url()
        self._wire = adapter.wire(self.object_url)
        self._adapter = adapter
        self._host = host_header(self._wire.origin)
        self._base = urlsplit(self.object_url).path[: -len("/key")]
        self._owner = settings.expected_bucket_owner

    def _client(self) -> Any:
        """Return the one boto3 client, made when it is first needed."""
        with self._making_boto3:
            if self._boto3 is None:
                client = boto3_client(self._settings, self._session)
                client.meta.events.register_first("before-send.s3", self._send_for_boto3)
                self._boto3 = client
            return self._boto3

    def _object_url(self) -> str:
        """Return the URL of the key `key`, as the client builds it: virtual-hosted or path style."""
        self._signer.headers("GET", "/", {}, {})  # what credentials may raise is no fault of the address
        try:
            url: str = self._client().generate_presigned_url(
                "get_object", Params={"Bucket": self._settings.destination_bucket, "Key": "key"}
            )
        except botocore.exceptions.NoCredentialsError as error:
            raise FatalError(NO_CREDENTIALS) from error
        except (botocore.exceptions.ClientError, RuntimeError) as error:
            raise not_renewed(error) from error
        except (botocore.exceptions.BotoCoreError, ValueError) as error:
            raise FatalError(f"the bucket has no usable address: {error}. Check AWS_REGION.") from error
        return url.partition("?")[0]

    @property
    def endpoint(self) -> str:
        """The store's address as a person would name it: scheme, host and port."""
        return f"{self._wire.origin.scheme}://{self._host}"

    def open(
        self,
        method: str,
        key: str,
        deadline: Deadline,
        headers: Mapping[str, str] | None = None,
        body: Sequence[Buffer] = (),
        query: Mapping[str, str] | None = None,
    ) -> Response:
        """Send a signed request and return its answer with the body unread; key "" is the bucket itself.

        headers have lower-case names; body is given in pieces. Raise TransientError, Cancelled or FatalError.
        """
        path = f"{self._base}/{quoted_key(key)}"
        wanted = {"host": self._host, **(headers or {})}
        if self._owner:
            wanted["x-amz-expected-bucket-owner"] = self._owner
        signed = self._signer.headers(method, path, query or {}, wanted)
        if method == "PUT":
            signed["content-length"] = str(sum(len(piece) for piece in body))
        target = f"{path}?{query_string(query)}" if query else path
        return self._wire.request(method, (request_head(method, target, signed), *body), deadline)

    def request(self, method: str, key: str, deadline: Deadline, **more: Any) -> S3Response:
        """Send a signed request and return its whole answer; more as for open()."""
        with self.open(method, key, deadline, **more) as answer:
            return S3Response(answer.status, answer.headers, answer.body())

    def call(self, operation: str, deadline: Deadline, **params: Any) -> tuple[S3Response, dict[str, Any]]:
        """Call an operation of the boto3 client on the bucket; return the answer and boto3's reading of it.

        The reading is empty where the answer is an error. Raise TransientError, Cancelled or FatalError.
        """
        self._own.limit = deadline
        self._own.reply = None
        if self._owner and operation not in _OF_OUR_OWN:
            params["ExpectedBucketOwner"] = self._owner
        try:
            parsed = getattr(self._client(), operation)(Bucket=self._settings.destination_bucket, **params)
            return self._own.reply, parsed
        except botocore.exceptions.ClientError as error:
            if self._own.reply is None:  # it comes from the service that gives the credentials
                raise not_renewed(error) from error
            return self._own.reply, {}
        except (botocore.exceptions.NoCredentialsError, botocore.exceptions.PartialCredentialsError) as error:
            raise FatalError(NO_CREDENTIALS) from error
        except botocore.exceptions.ParamValidationError as error:
            raise FatalError(f"boto3 refuses the request ({operation}): {error}") from error
        except botocore.exceptions.BotoCoreError as error:
            if self._own.reply is not None:  # an answer that boto3 cannot read
                return S3Response(502, {}, b""), {}
            raise not_renewed(error) from error
        except RuntimeError as error:  # botocore's word for new credentials that are expired already
            raise not_renewed(error) from error

    def _send_for_boto3(self, request: AWSPreparedRequest, **unused: Any) -> AWSResponse:
        """Send the request that boto3 has built and signed; called by botocore in the calling thread."""
        wire = self._adapter.wire(request.url)
        parts = urlsplit(request.url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = {"Host": host_header(wire.origin)}
        for name, value in request.headers.items():
            if name.lower() not in {"expect", "host"}:
                headers[name] = value.decode("latin-1") if isinstance(value, bytes) else str(value)
        body: Any = request.body or b""
        content: Buffer = body.read() if hasattr(body, "read") else body
        with wire.request(
            request.method, (request_head(request.method, target, headers), content), self._own.limit
        ) as answer:
            reply = S3Response(answer.status, answer.headers, answer.body())
        self._own.reply = reply
        if 300 <= reply.status < 400 and reply.status != 304:
            raise reply.error(request.method)  # botocore would follow it, round and round
        raw = HTTPResponse(io.BytesIO(reply.body), preload_content=False)
        headers_given: Any = dict(reply.headers)
        return AWSResponse(request.url, reply.status, headers_given, raw)
