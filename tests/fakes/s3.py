"""A strict S3 on 127.0.0.1: `with S3Server() as s3: s3.url`.

It checks what Amazon checks (signature, digests, lengths, owner, policy, conditions) and fails as Amazon and
the middleboxes before it fail, by rules (`s3.rules.add(Rule("SlowDown", count=20))`) or by a hook.
"""

from __future__ import annotations

import hashlib
import secrets
import ssl
import threading
import time
from collections import Counter, deque
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from types import TracebackType
from typing import Any, Callable, NamedTuple, Optional

from tests.fakes import s3_faults, s3_lesser, s3_payload, signature
from tests.fakes.rules import Rule, RuleBook
from tests.fakes.s3_calls import Call, Reply
from tests.fakes.s3_errors import S3Error
from tests.fakes.s3_operations import Operations
from tests.fakes.s3_routes import UNKNOWN, is_unicode, route
from tests.fakes.s3_settings import ACTIONS, Settings
from tests.fakes.store import Bucket, Store, StoredObject
from tests.fakes.wire import BadRequestError, Connection, Listener, Request, response


class Entry(NamedTuple):
    """One request, for assertions on the wire."""

    operation: str
    method: str
    target: str  # path and query as on the wire
    bucket: str
    key: str  # decoded
    headers: dict[str, str]  # lower-case names
    connection: int  # number of the connection, from 1
    size: int  # bytes of the body before aws-chunked was undone
    status: int  # 0 when there was no answer
    fault: str  # the fault that struck, or empty


Hook = Callable[[str, str, Request], Optional[Rule]]


class S3Server:
    """An S3 in threads of this process. `settings` are the fields of Settings.

    `hook(operation, key, request)` may return the Rule that strikes a request; it is asked before the rules.
    """

    def __init__(
        self,
        tls: ssl.SSLContext | None = None,
        hook: Hook | None = None,
        folder: Path | None = None,
        **settings: Any,
    ) -> None:
        self.settings = Settings(**settings)
        self.store = Store(folder)
        self._operations = Operations(self.store, self.settings)
        self.rules = RuleBook(s3_faults.NAMES)
        self.hook = hook
        self.log: deque[Entry] = deque(maxlen=self.settings.log_limit)
        self.counters: Counter[str] = Counter()  # "PutObject", "PutObject 200", "bytes" ...
        self._count_lock = threading.Lock()
        self._write_times = s3_lesser.WriteTimes()
        for name in self.settings.buckets:
            self.add_bucket(name)
        self._scheme = "http" if tls is None else "https"
        self.network = Listener(self._serve, tls)

    # -- for tests -----------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """The endpoint, without a slash at the end."""
        return f"{self._scheme}://127.0.0.1:{self.network.port}"

    def change(self, **settings: Any) -> None:
        """Change settings of the running server (those of new buckets: for buckets created from now on)."""
        self.settings = replace(self.settings, **settings)
        self._operations = Operations(self.store, self.settings)

    def add_bucket(self, name: str, region: str = "", owner: str = "") -> None:
        """Add a bucket; another region or owner than the server's makes it somebody else's."""
        here = self.settings
        made = Bucket(name, region or here.region, owner or here.owner, here.acls, versioned=here.versioned)
        self.store.add_bucket(made)

    def put(self, bucket: str, key: str, body: bytes, **headers: str) -> StoredObject:
        """Store an object without a request; `headers` with _ for -: content_type="image/png"."""
        md5 = hashlib.md5(body).hexdigest()
        kept = {name.replace("_", "-"): value for name, value in headers.items()}
        item = replace(self.store.keep(body, md5, f'"{md5}"', kept), key=key)
        self.store.put(bucket, item, only_if_absent=False)
        return item

    def objects(self, bucket: str) -> dict[str, StoredObject]:
        """Return a copy of what a bucket holds."""
        return dict(self.store.bucket(bucket).objects)

    def requests(self, operation: str) -> list[Entry]:
        """Return the log of one operation."""
        return [entry for entry in list(self.log) if entry.operation == operation]

    def __enter__(self) -> S3Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop all threads and free the port. Raises what a handler raised by mistake."""
        self.network.stop()

    # -- one connection ------------------------------------------------------------------------------------

    def _serve(self, connection: Connection) -> None:
        while self._next(connection):
            pass

    def _next(self, connection: Connection) -> bool:
        try:
            request = connection.read_request()
            return request is not None and self._one(connection, request)
        except BadRequestError:
            connection.send(response(400, [("Connection", "close")]))
            return False

    def _one(self, connection: Connection, request: Request) -> bool:
        """Answer one request; False = the connection ends."""
        is_virtual = self.settings.virtual_hosts_only and not s3_lesser.is_path_style(request)
        operation, bucket, key = route(s3_lesser.virtual_target(request) if is_virtual else request)
        rule = self._strike(operation, key, request)
        exchange = s3_faults.Exchange(connection, request, operation, rule)
        if rule is not None and s3_faults.before_body(exchange):
            self._note(exchange, bucket, key, 0, 0)
            return False
        if "100-continue" in request.headers.get("expect", "").lower() and not self.settings.ignore_expect:
            connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        raw = s3_faults.on_the_way(rule, s3_payload.read_body(connection, request))
        request_id = secrets.token_hex(8).upper()
        try:
            call = self._admit(request, operation, bucket, key, raw)
            reply = s3_faults.around(exchange, call, self._operations.run)
        except S3Error as error:
            reply = self._refusal(error, request, request_id)
        if self.settings.latency:
            connection.stall(self.settings.latency)
        silent = rule is not None and rule.fault in s3_faults.UNANSWERED
        self._note(exchange, bucket, key, len(raw), 0 if silent else reply.status)
        data = self._render(request, reply, request_id)
        return s3_faults.deliver(exchange, data) and request.keeps_alive

    def _strike(self, operation: str, key: str, request: Request) -> Rule | None:
        rule = self.hook(operation, key, request) if self.hook is not None else None
        return rule or self.rules.pick(operation, key)

    def _admit(self, request: Request, operation: str, bucket: str, key: str, raw: bytes) -> Call:
        """Check everything that S3 checks before the operation itself. Raises S3Error."""
        here = self.settings
        keys = signature.Keys(here.credentials, here.tokens, here.region)
        signature.verify(request, keys, self._now())
        s3_lesser.check_request(request, operation, here)
        if operation == UNKNOWN:
            raise S3Error("NotImplemented", f"{request.method} {request.target} is not implemented here")
        if operation in ("PutObject", "UploadPart"):
            s3_payload.require_length(request)
            self._check_framing(request)
        size = len(key.encode("utf-8", "surrogateescape"))
        if size > 1024:
            raise S3Error("KeyTooLongError", Size=str(size), MaxSizeAllowed="1024")
        if not is_unicode(key):
            raise S3Error("InvalidURI")
        if here.makes_buckets and operation == "PutObject" and bucket not in self.store.names(here.owner):
            self.add_bucket(bucket)
        if operation not in ("CreateBucket", "ListBuckets"):
            self._check_bucket(request, self.store.bucket(bucket))
        self._check_policy(request, operation)
        verbatim = here.aws_chunked == "store" and "aws-chunked" in request.headers.get(
            "content-encoding", ""
        )
        if verbatim:
            payload = s3_payload.Payload(raw, hashlib.md5(raw).hexdigest(), {})
        else:
            payload = s3_payload.decode(request, raw, not here.ignore_content_md5, not here.ignore_checksums)
        call = Call(operation, request, bucket, key, dict(request.query), payload)
        if operation not in ("CreateBucket", "ListBuckets"):
            s3_lesser.check_call(call, here, self.store, self.store.bucket(bucket))
        if here.write_interval and s3_lesser.is_limited(call):
            self._write_times.check(call, here.write_interval)
        return call

    def _check_framing(self, request: Request) -> None:
        chunked = "aws-chunked" in request.headers.get("content-encoding", "")
        if chunked and self.settings.aws_chunked == "refuse":
            raise S3Error(
                "NotImplemented", "A header you provided implies functionality that is not implemented"
            )

    def _check_bucket(self, request: Request, bucket: Bucket) -> None:
        if bucket.region != self.settings.region:
            endpoint = f"{bucket.name}.s3.{bucket.region}.amazonaws.com"
            raise S3Error("PermanentRedirect", Endpoint=endpoint, Bucket=bucket.name, Region=bucket.region)
        expected = request.headers.get("x-amz-expected-bucket-owner", bucket.owner)
        if not self.settings.checks_owner:
            expected = bucket.owner
        if not (len(expected) == 12 and expected.isdigit()):
            raise S3Error("InvalidBucketOwnerAWSAccountID")
        if expected != bucket.owner or bucket.owner != self.settings.owner:
            raise S3Error("AccessDenied")

    def _check_policy(self, request: Request, operation: str) -> None:
        allow, acl = self.settings.allow, request.headers.get("x-amz-acl")
        needed = [ACTIONS[operation]] + (["PutObjectAcl"] if acl is not None else [])
        denied = [] if allow is None else [action for action in needed if action not in allow]
        if denied:
            who = f"arn:aws:iam::{self.settings.owner}:user/test"
            message = f"User: {who} is not authorized to perform: s3:{denied[0]}"
            error = S3Error("AccessDenied", message)
            if operation == "HeadBucket":  # refused, and yet S3 says where the bucket is
                error.headers.append(("x-amz-bucket-region", self.settings.region))
            raise error
        # With ACLs disabled S3 still takes the one that changes nothing.
        if acl not in (None, "bucket-owner-full-control") and not self.settings.acls:
            raise S3Error("AccessControlListNotSupported")

    # -- the answer ----------------------------------------------------------------------------------------

    def _refusal(self, error: S3Error, request: Request, request_id: str) -> Reply:
        status = error.status
        if error.code == "PreconditionFailed" and self.settings.if_none_match_status == 304:
            status = 304
        headers = [("Content-Type", "application/xml"), *error.headers]
        if "Region" in error.details:
            headers.append(("x-amz-bucket-region", error.details["Region"]))
        body = b"" if request.method == "HEAD" or status == 304 else error.xml(request.path, request_id)
        return Reply(status, headers, body)

    def _render(self, request: Request, reply: Reply, request_id: str) -> bytes:
        headers = [
            ("x-amz-id-2", request_id * 2),
            ("x-amz-request-id", request_id),
            ("Date", formatdate(self._now(), usegmt=True)),
            ("Server", "AmazonS3"),
            *reply.headers,
        ]
        data = response(reply.status, headers, reply.body)
        return data[: len(data) - len(reply.body)] if request.method == "HEAD" else data

    def _now(self) -> float:
        return time.time() + self.settings.clock_offset

    def _note(self, exchange: s3_faults.Exchange, bucket: str, key: str, size: int, status: int) -> None:
        request, operation, rule = exchange.request, exchange.operation, exchange.rule
        fault = rule.fault if rule is not None else ""
        number = exchange.connection.number
        self.log.append(
            Entry(
                operation,
                request.method,
                request.target,
                bucket,
                key,
                request.headers,
                number,
                size,
                status,
                fault,
            )
        )
        with self._count_lock:
            self.counters[operation] += 1
            self.counters[f"{operation} {status}"] += 1
            self.counters["bytes received"] += size
