"""The local S3 is as strict as the real one: shown with boto3, requests signed by hand, and raw sockets."""

from __future__ import annotations

import base64
import hashlib
import http.client
import re
import socket
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError, ReadTimeoutError

from tests.fakes.control import ControlError
from tests.fakes.process import ServerProcess
from tests.fakes.rules import Rule
from tests.fakes.s3 import S3Server
from tests.fakes.tls import TlsMaterial

BODY = b"\xff\xd8" + b"image" * 4000 + b"\xff\xd9"
MD5 = hashlib.md5(BODY).hexdigest()
MD5_64 = base64.b64encode(hashlib.md5(BODY).digest()).decode()
OTHER_MD5_64 = base64.b64encode(hashlib.md5(b"other").digest()).decode()
Factory = Callable[..., S3Server]

pytestmark = pytest.mark.filterwarnings("ignore::boto3.exceptions.PythonDeprecationWarning")


def client(server: S3Server | ServerProcess, **options: Any) -> Any:
    """Make a boto3 client with one attempt, two seconds of patience, and the right keys unless told so."""
    config: dict[str, Any] = {
        "retries": {"total_max_attempts": 1},
        "read_timeout": 2,
        "signature_version": "s3v4",
    }
    config.update(options.pop("config", {}))
    return boto3.client(
        "s3",
        endpoint_url=server.url,
        region_name=options.pop("region_name", "us-west-2"),
        aws_access_key_id=options.pop("access", "AKIATEST"),
        aws_secret_access_key=options.pop("secret", "secret"),
        config=Config(**config),
        **options,
    )


def code_of(call: Callable[..., Any], **arguments: Any) -> tuple[int, str]:
    """Return status and code of the error that a boto3 call raises."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    response: Any = caught.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


class HeaderSigner(S3SigV4Auth):
    """botocore's signature, with the payload hash that the request already declares."""

    def payload(self, request: Any) -> str:
        """Return what x-amz-content-sha256 is to say."""
        return str(request.context["declared"])


def signed(server: S3Server, method: str, path: str, **options: Any) -> AWSRequest:
    """Sign a request by hand; `headers` are added before, `query=True` signs in the query string."""
    headers = dict(options.get("headers", {}))
    request = AWSRequest(method, server.url + path, headers=headers)
    request.context["declared"] = headers.pop("X-Amz-Content-SHA256", "UNSIGNED-PAYLOAD")
    form = S3SigV4QueryAuth if options.get("query") else HeaderSigner
    form(Credentials("AKIATEST", "secret"), "s3", options.get("region", "us-west-2")).add_auth(request)
    return request


def send(request: AWSRequest, body: bytes = b"", **changes: str) -> tuple[int, str, bytes]:
    """Send a signed request, some headers changed after signing; return status, S3's code and the body."""
    parts = urlsplit(str(request.url))
    connection = http.client.HTTPConnection(parts.netloc, timeout=5)
    headers = {**dict(request.headers.items()), **changes}
    headers.setdefault("Content-Length", str(len(body)))
    try:
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request(str(request.method), target, body, headers)
        answer = connection.getresponse()
        data = answer.read()
    finally:
        connection.close()
    return answer.status, data.partition(b"<Code>")[2].partition(b"</Code>")[0].decode(), data


# -- signatures ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param({"secret": "wrong"}, (403, "SignatureDoesNotMatch"), id="wrong secret"),
        pytest.param({"access": "AKIAOTHER"}, (403, "InvalidAccessKeyId"), id="unknown key"),
        pytest.param({"aws_session_token": "t"}, (400, "InvalidToken"), id="token that nobody gave"),
        pytest.param(
            {"config": {"signature_version": "s3"}}, (400, "InvalidRequest"), id="signature version 2"
        ),
    ],
)
def test_signature_wrong(s3_server: Factory, options: dict[str, Any], expected: tuple[int, str]) -> None:
    server = s3_server()
    assert code_of(client(server, **options).put_object, Bucket="bucket", Key="k", Body=BODY) == expected
    assert server.objects("bucket") == {}


def test_signature_for_another_region(s3_server: Factory) -> None:
    server = s3_server()
    status, code, body = send(signed(server, "PUT", "/bucket/k", region="eu-west-1"), BODY)
    assert (status, code) == (400, "AuthorizationHeaderMalformed")
    assert b"<Region>us-west-2</Region>" in body
    # botocore reads the region out of that answer and signs again.
    client(server, region_name="eu-west-1").put_object(Bucket="bucket", Key="k", Body=BODY)
    assert [entry.status for entry in server.requests("PutObject")] == [400, 400, 200]


def test_signature_anonymous(s3_server: Factory) -> None:
    request = AWSRequest("GET", s3_server().url + "/bucket/k", headers={})
    assert send(request)[:2] == (403, "AccessDenied")


@pytest.mark.parametrize(
    "key", ["plain.jpg", "a b/ü~(1)+&=@:;,'!*$.jpg", "//double/./../dots", "100%25", "日本.png"]
)
def test_signature_of_key_with_special_characters(s3_server: Factory, key: str) -> None:
    server = s3_server()
    client(server).put_object(Bucket="bucket", Key=key, Body=BODY)
    assert list(server.objects("bucket")) == [key]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({"If-None-Match": "x"}, (501, "NotImplemented"), id="unsigned header may be added"),
        pytest.param({"X-Amz-Acl": "private"}, (403, "AccessDenied"), id="unsigned x-amz header"),
        pytest.param(
            {"Content-MD5": OTHER_MD5_64}, (403, "SignatureDoesNotMatch"), id="signed header changed"
        ),
        pytest.param({"X-Amz-Content-SHA256": "0" * 64}, (403, "SignatureDoesNotMatch"), id="other hash"),
        pytest.param(
            {"X-Amz-Date": "20200101T000000Z"}, (400, "AuthorizationHeaderMalformed"), id="scope's day"
        ),
    ],
)
def test_signature_after_change_of_headers(s3_server: Factory, change: dict[str, str], expected: Any) -> None:
    request = signed(s3_server(), "PUT", "/bucket/k", headers={"Content-MD5": MD5_64})
    assert send(request, BODY, **change)[:2] == expected


def test_signature_payload_hash_of_other_bytes(s3_server: Factory) -> None:
    headers = {"X-Amz-Content-SHA256": hashlib.sha256(b"other").hexdigest()}
    assert send(signed(s3_server(), "PUT", "/bucket/k", headers=headers), BODY)[:2] == (
        400,
        "XAmzContentSHA256Mismatch",
    )


@pytest.mark.parametrize("offset", [-1000.0, 1000.0])
def test_signature_clock_skewed(s3_server: Factory, offset: float) -> None:
    server = s3_server(clock_offset=offset)
    assert code_of(client(server).head_bucket, Bucket="bucket")[0] == 403
    assert code_of(client(server).get_object, Bucket="bucket", Key="k") == (403, "RequestTimeTooSkewed")


def test_signature_clock_within_limit(s3_server: Factory) -> None:
    client(s3_server(clock_offset=800.0)).put_object(Bucket="bucket", Key="k", Body=BODY)


def test_session_token_required_and_right(s3_server: Factory) -> None:
    server = s3_server(tokens={"AKIATEST": "token"})
    put = {"Bucket": "bucket", "Key": "k", "Body": BODY}
    assert code_of(client(server).put_object, **put) == (403, "InvalidAccessKeyId")
    assert code_of(client(server, aws_session_token="other").put_object, **put) == (400, "InvalidToken")
    client(server, aws_session_token="token").put_object(**put)


def test_presigned_url(s3_server: Factory) -> None:
    server = s3_server()
    server.put("bucket", "k", BODY)
    request = signed(server, "GET", "/bucket/k", query=True)
    assert send(request)[2] == BODY
    request.url = str(request.url).replace("/bucket/k", "/bucket/j")
    assert send(request)[:2] == (403, "SignatureDoesNotMatch")


def test_presigned_url_expired(s3_server: Factory) -> None:
    server = s3_server()
    url = client(server).generate_presigned_url("get_object", {"Bucket": "bucket", "Key": "k"}, ExpiresIn=60)
    server.change(clock_offset=120.0)
    status, code, body = send(AWSRequest("GET", url, headers={}))
    assert (status, code) == (403, "AccessDenied")
    assert b"expired" in body


# -- bodies and digests -------------------------------------------------------------------------------------


def test_put_default_over_tls_is_aws_chunked(s3_tls_server: Factory, tls_material: TlsMaterial) -> None:
    server = s3_tls_server()
    s3 = client(server, verify=str(tls_material.ca_bundle))
    answer = s3.put_object(Bucket="bucket", Key="k", Body=BODY, ContentEncoding="x")
    sent = server.requests("PutObject")[-1].headers
    assert sent["content-encoding"] == "x,aws-chunked"
    assert sent["x-amz-content-sha256"] == "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
    assert answer["ETag"] == f'"{MD5}"'
    crc = base64.b64encode(zlib.crc32(BODY).to_bytes(4, "big")).decode()
    head = s3.head_object(Bucket="bucket", Key="k", ChecksumMode="ENABLED")
    assert (head["ChecksumCRC32"], head["ContentEncoding"]) == (crc, "x")
    assert s3.get_object(Bucket="bucket", Key="k")["Body"].read() == BODY


def test_put_when_required_over_tls_is_plain(s3_tls_server: Factory, tls_material: TlsMaterial) -> None:
    server = s3_tls_server()
    config = {"request_checksum_calculation": "when_required"}
    s3 = client(server, verify=str(tls_material.ca_bundle), config=config)
    s3.put_object(Bucket="bucket", Key="k", Body=BODY, ContentMD5=MD5_64)
    sent = server.requests("PutObject")[-1].headers
    assert sent["content-md5"] == MD5_64
    assert sent["content-length"] == str(len(BODY))
    assert "content-encoding" not in sent
    assert sent["authorization"].startswith("AWS4-HMAC-SHA256 ")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param({"Content-MD5": MD5_64}, (200, ""), id="md5 right"),
        pytest.param({"Content-MD5": OTHER_MD5_64}, (400, "BadDigest"), id="md5 wrong"),
        pytest.param({"Content-MD5": "abc"}, (400, "InvalidDigest"), id="md5 not base64"),
        pytest.param({"Content-MD5": "YWJj"}, (400, "InvalidDigest"), id="md5 too short"),
        pytest.param({"x-amz-checksum-crc32": "AAAAAA=="}, (400, "BadDigest"), id="crc32 wrong"),
        pytest.param({"x-amz-checksum-crc32": "AAAA"}, (400, "InvalidRequest"), id="crc32 too short"),
        pytest.param(
            {"x-amz-checksum-crc32c": "AAAAAA=="}, (501, "NotImplemented"), id="crc32c unknown here"
        ),
        pytest.param(
            {"x-amz-sdk-checksum-algorithm": "CRC32"}, (400, "InvalidRequest"), id="named, not sent"
        ),
        pytest.param({"If-None-Match": '"abc"'}, (501, "NotImplemented"), id="if-none-match an etag"),
        pytest.param(
            {"x-amz-server-side-encryption": "x"}, (400, "InvalidArgument"), id="unknown encryption"
        ),
        pytest.param({"x-amz-acl": "public-read"}, (400, "AccessControlListNotSupported"), id="acl"),
        pytest.param({"x-amz-acl": "bucket-owner-full-control"}, (200, ""), id="acl that changes nothing"),
        pytest.param({"x-amz-expected-bucket-owner": "9" * 12}, (403, "AccessDenied"), id="other owner"),
        pytest.param({"x-amz-expected-bucket-owner": "111122223333"}, (200, ""), id="right owner"),
        pytest.param(
            {"x-amz-expected-bucket-owner": "me"}, (400, "InvalidBucketOwnerAWSAccountID"), id="no account id"
        ),
    ],
)
def test_put_header(s3_server: Factory, headers: dict[str, str], expected: tuple[int, str]) -> None:
    server = s3_server()
    assert send(signed(server, "PUT", "/bucket/k", headers=headers), BODY)[:2] == expected
    assert len(server.objects("bucket")) == (expected[0] == 200)


def test_put_right_crc32(s3_server: Factory) -> None:
    server = s3_server()
    value = base64.b64encode(zlib.crc32(BODY).to_bytes(4, "big")).decode()
    request = signed(server, "PUT", "/bucket/k", headers={"x-amz-checksum-crc32": value})
    assert send(request, BODY)[0] == 200
    assert server.objects("bucket")["k"].checksums == {"x-amz-checksum-crc32": value}


def test_put_wrong_trailer(s3_server: Factory) -> None:
    server = s3_server()
    head = {"X-Amz-Content-SHA256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "Content-Encoding": "aws-chunked"}
    head.update({"X-Amz-Trailer": "x-amz-checksum-crc32", "X-Amz-Decoded-Content-Length": "3"})
    body = b"3\r\nabc\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"
    assert send(signed(server, "PUT", "/bucket/k", headers=head), body)[:2] == (400, "BadDigest")
    body = b"3\r\nabc\r\n0\r\n\r\n"
    assert send(signed(server, "PUT", "/bucket/k", headers=head), body)[:2] == (400, "MalformedTrailerError")
    body = b"4\r\nabc\r\n0\r\n\r\n"
    assert send(signed(server, "PUT", "/bucket/k", headers=head), body)[:2] == (400, "IncompleteBody")


@pytest.mark.parametrize(
    ("mode", "expected", "stored"),
    [
        ("decode", (200, ""), b"abc"),
        ("refuse", (501, "NotImplemented"), None),
        ("store", (200, ""), b"3\r\nabc"),
    ],
)
def test_put_aws_chunked_on_lesser_server(
    s3_server: Factory, mode: str, expected: Any, stored: bytes | None
) -> None:
    server = s3_server(aws_chunked=mode)
    head = {"X-Amz-Content-SHA256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "Content-Encoding": "aws-chunked"}
    head.update({"X-Amz-Trailer": "x-amz-checksum-crc32", "X-Amz-Decoded-Content-Length": "3"})
    crc = base64.b64encode(zlib.crc32(b"abc").to_bytes(4, "big"))
    body = b"3\r\nabc\r\n0\r\nx-amz-checksum-crc32:" + crc + b"\r\n\r\n"
    assert send(signed(server, "PUT", "/bucket/k", headers=head), body)[:2] == expected
    held = server.objects("bucket")
    assert (held["k"].read()[:6] if "k" in held else None) == stored


def test_put_without_length(s3_server: Factory) -> None:
    server = s3_server()
    request = signed(server, "PUT", "/bucket/k")
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    host = urlsplit(server.url).netloc
    with socket.create_connection(("127.0.0.1", server.network.port), timeout=5) as sock:
        sock.sendall(f"PUT /bucket/k HTTP/1.1\r\nHost: {host}\r\n{head}\r\n".encode())
        assert b"411 Length Required" in sock.recv(65536)


def test_put_with_length_and_chunked(s3_server: Factory) -> None:
    with socket.create_connection(("127.0.0.1", s3_server().network.port), timeout=5) as sock:
        head = "PUT /bucket/k HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
        sock.sendall(head.encode())
        assert sock.recv(65536).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("k" * 1024, (200, "")),
        ("k" * 1025, (400, "KeyTooLongError")),
        ("%C3%BC" * 513, (400, "KeyTooLongError")),
    ],
    ids=["1024 bytes", "1025 bytes", "513 letters of two bytes"],
)
def test_put_key_length(s3_server: Factory, key: str, expected: tuple[int, str]) -> None:
    assert send(signed(s3_server(), "PUT", f"/bucket/{key}"), BODY)[:2] == expected


def test_put_key_not_utf8(s3_server: Factory) -> None:
    assert send(signed(s3_server(), "PUT", "/bucket/%FF"), BODY)[:2] == (400, "InvalidURI")


def test_put_keeps_headers(s3_server: Factory) -> None:
    s3 = client(s3_server())
    given = {"ContentType": "image/webp", "CacheControl": "max-age=5", "Metadata": {"source": "x"}}
    s3.put_object(Bucket="bucket", Key="k", Body=BODY, StorageClass="STANDARD_IA", **given)
    head = s3.head_object(Bucket="bucket", Key="k")
    assert {name: head[name] for name in given} == given
    assert (head["StorageClass"], head["ServerSideEncryption"]) == ("STANDARD_IA", "AES256")
    assert (head["ContentLength"], head["ETag"]) == (len(BODY), f'"{MD5}"')


# -- conditions, ranges, deletion ---------------------------------------------------------------------------


def test_if_none_match_on_existing_key(s3_server: Factory) -> None:
    server = s3_server()
    s3 = client(server)
    s3.put_object(Bucket="bucket", Key="k", Body=BODY, IfNoneMatch="*")
    expected = (412, "PreconditionFailed")
    assert code_of(s3.put_object, Bucket="bucket", Key="k", Body=b"other", IfNoneMatch="*") == expected
    assert server.objects("bucket")["k"].read() == BODY
    assert server.store.writes == {("bucket", "k"): 1}


def test_if_none_match_race(s3_server: Factory) -> None:
    server = s3_server()
    requests = [signed(server, "PUT", "/bucket/k", headers={"If-None-Match": "*"}) for _ in range(20)]
    with ThreadPoolExecutor(20) as pool:
        answers = [answer[0] for answer in pool.map(lambda r: send(r, BODY), requests)]
    assert sorted(answers) == [200] + [412] * 19


@pytest.mark.parametrize(
    ("settings", "status"),
    [
        ({"ignore_if_none_match": True}, 200),
        ({"if_none_match_status": 501}, 501),
        ({"if_none_match_status": 304}, 304),
    ],
    ids=["ignored", "501", "304"],
)
def test_if_none_match_on_lesser_server(s3_server: Factory, settings: dict[str, Any], status: int) -> None:
    server = s3_server(**settings)
    server.put("bucket", "k", b"old")
    assert send(signed(server, "PUT", "/bucket/k", headers={"If-None-Match": "*"}), BODY)[0] == status
    assert server.objects("bucket")["k"].read() == (BODY if status == 200 else b"old")


@pytest.mark.parametrize(
    ("value", "status", "expected"),
    [
        ("bytes=0-1", 206, BODY[:2]),
        ("bytes=5-", 206, BODY[5:]),
        ("bytes=-2", 206, BODY[-2:]),
        ("x", 200, BODY),
    ],
)
def test_get_range(s3_server: Factory, value: str, status: int, expected: bytes) -> None:
    server = s3_server()
    server.put("bucket", "k", BODY)
    answer = send(signed(server, "GET", "/bucket/k", headers={"Range": value}))
    assert (answer[0], answer[2]) == (status, expected)


def test_get_range_outside(s3_server: Factory) -> None:
    server = s3_server()
    server.put("bucket", "k", BODY)
    assert code_of(client(server).get_object, Bucket="bucket", Key="k", Range="bytes=99999-") == (
        416,
        "InvalidRange",
    )


def test_delete_twice(s3_server: Factory) -> None:
    server = s3_server()
    server.put("bucket", "k", BODY)
    for _ in range(2):
        client(server).delete_object(Bucket="bucket", Key="k")
    assert server.objects("bucket") == {}


# -- ETags --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "announced"),
    [({"kms_default": True}, "aws:kms"), ({"kms_default": True, "kms_announced": False}, None)],
    ids=["announced", "silent"],
)
def test_etag_under_kms_default(s3_server: Factory, settings: dict[str, Any], announced: str | None) -> None:
    s3 = client(s3_server(**settings))
    answer = s3.put_object(Bucket="bucket", Key="k", Body=BODY)
    assert len(bytes.fromhex(answer["ETag"].strip('"'))) == 16
    assert answer["ETag"] != f'"{MD5}"'
    assert answer.get("ServerSideEncryption") == announced
    assert s3.head_object(Bucket="bucket", Key="k").get("ServerSideEncryption") == announced


def test_etag_under_kms_asked_for(s3_server: Factory) -> None:
    s3 = client(s3_server())
    asked = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "arn:aws:kms:us-west-2:111122223333:key/k"}
    answer = s3.put_object(Bucket="bucket", Key="k", Body=BODY, **asked)
    assert {name: answer[name] for name in asked} == asked
    assert answer["ETag"] != f'"{MD5}"'


@pytest.mark.parametrize(
    ("mode", "form"),
    [
        ("random", rf'"(?!{MD5})[0-9a-f]{{32}}"'),
        ("unquoted", MD5),
        ("weak", f'W/"{MD5}"'),
        ("none", ""),
        ("opaque", '".+-v1"'),
    ],
)
def test_etag_mode(s3_server: Factory, mode: str, form: str) -> None:
    server = s3_server(etag_mode=mode)
    etag = client(server).put_object(Bucket="bucket", Key="k", Body=BODY).get("ETag", "")
    assert re.fullmatch(form, etag)


# -- buckets and policies -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("allow", "call", "expected"),
    [
        pytest.param({"PutObject"}, "head_bucket", (403, "403"), id="head bucket without ListBucket"),
        pytest.param({"PutObject"}, "list_objects_v2", (403, "AccessDenied"), id="list without ListBucket"),
        pytest.param({"PutObject"}, "get", (403, "AccessDenied"), id="get without GetObject"),
        pytest.param({"PutObject"}, "head", (403, "403"), id="head without GetObject"),
        pytest.param({"GetObject"}, "put", (403, "AccessDenied"), id="put without PutObject"),
        pytest.param({"GetObject"}, "delete", (403, "AccessDenied"), id="delete without DeleteObject"),
        pytest.param({"GetObject"}, "missing", (403, "403"), id="head of a missing key without ListBucket"),
        pytest.param({"GetObject", "ListBucket"}, "missing", (404, "404"), id="head of a missing key"),
        pytest.param({"PutObject"}, "acl", (403, "AccessDenied"), id="acl without PutObjectAcl"),
        pytest.param(
            {"PutObject"}, "list_multipart_uploads", (403, "AccessDenied"), id="uploads without right"
        ),
    ],
)
def test_policy_refuses(s3_server: Factory, allow: set[str], call: str, expected: tuple[int, str]) -> None:
    server = s3_server(allow=frozenset(allow), acls=True)
    server.put("bucket", "k", BODY)
    s3 = client(server)
    calls: dict[str, Callable[[], Any]] = {
        "get": lambda: s3.get_object(Bucket="bucket", Key="k"),
        "head": lambda: s3.head_object(Bucket="bucket", Key="k"),
        "put": lambda: s3.put_object(Bucket="bucket", Key="n", Body=BODY),
        "delete": lambda: s3.delete_object(Bucket="bucket", Key="k"),
        "missing": lambda: s3.head_object(Bucket="bucket", Key="missing"),
        "acl": lambda: s3.put_object(Bucket="bucket", Key="n", Body=BODY, ACL="public-read"),
    }
    assert code_of(calls.get(call, lambda: getattr(s3, call)(Bucket="bucket"))) == expected


def test_policy_refuses_head_bucket_but_names_the_region(s3_server: Factory) -> None:
    with pytest.raises(ClientError) as caught:
        client(s3_server(allow=frozenset({"PutObject"}))).head_bucket(Bucket="bucket")
    headers = caught.value.response["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-amz-bucket-region"] == "us-west-2"


def test_policy_of_put_alone_lets_put_through(s3_server: Factory) -> None:
    s3 = client(s3_server(allow=frozenset({"PutObject"})))
    s3.put_object(Bucket="bucket", Key="k", Body=BODY, IfNoneMatch="*")
    expected = (412, "PreconditionFailed")
    assert code_of(s3.put_object, Bucket="bucket", Key="k", Body=BODY, IfNoneMatch="*") == expected


def test_acl_with_acls_enabled(s3_server: Factory) -> None:
    client(s3_server(acls=True)).put_object(Bucket="bucket", Key="k", Body=BODY, ACL="public-read")


def test_bucket_missing(s3_server: Factory) -> None:
    s3 = client(s3_server())
    assert code_of(s3.put_object, Bucket="nobucket", Key="k", Body=BODY) == (404, "NoSuchBucket")
    assert code_of(s3.head_bucket, Bucket="nobucket") == (404, "404")
    assert code_of(s3.list_objects_v2, Bucket="nobucket") == (404, "NoSuchBucket")


def test_bucket_of_another_account_and_region(s3_server: Factory) -> None:
    server = s3_server()
    server.add_bucket("theirs", owner="9" * 12)
    server.add_bucket("elsewhere", region="eu-west-1")
    s3 = client(server)
    assert code_of(s3.put_object, Bucket="theirs", Key="k", Body=BODY) == (403, "AccessDenied")
    status, _, body = send(signed(server, "PUT", "/elsewhere/k"), BODY)
    assert status == 301
    assert b"<Endpoint>elsewhere.s3.eu-west-1.amazonaws.com</Endpoint>" in body


def test_create_bucket(s3_server: Factory) -> None:
    server = s3_server()
    server.add_bucket("theirs", owner="9" * 12)
    s3 = client(server)
    here = {"CreateBucketConfiguration": {"LocationConstraint": "us-west-2"}}
    s3.create_bucket(Bucket="fresh", **here)
    assert s3.head_bucket(Bucket="fresh")["BucketRegion"] == "us-west-2"
    assert code_of(s3.create_bucket, Bucket="fresh", **here) == (409, "BucketAlreadyOwnedByYou")
    assert code_of(s3.create_bucket, Bucket="theirs", **here) == (409, "BucketAlreadyExists")
    assert code_of(s3.create_bucket, Bucket="other") == (400, "IllegalLocationConstraintException")
    assert code_of(s3.create_bucket, Bucket="Bad..", **here)[1] == "InvalidBucketName"
    block = dict.fromkeys(
        ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
    )
    s3.put_public_access_block(Bucket="fresh", PublicAccessBlockConfiguration=block)
    assert s3.get_public_access_block(Bucket="fresh")["PublicAccessBlockConfiguration"] == block


def test_operation_unknown(s3_server: Factory) -> None:
    s3 = client(s3_server())
    assert code_of(s3.get_object_tagging, Bucket="bucket", Key="k") == (501, "NotImplemented")
    copy = {"Bucket": "bucket", "Key": "k", "CopySource": "bucket/j"}
    assert code_of(s3.copy_object, **copy) == (501, "NotImplemented")


# -- listings -----------------------------------------------------------------------------------------------


def test_list_pages_in_utf8_order(s3_server: Factory) -> None:
    server = s3_server()
    names = ["a/" + name for name in ("ü", "z", "a b", "a&b<c>", "a+b", "\U0001f600", "\uffee", "Z", "tab\t")]
    for name in [*names, "b/outside", "a"]:
        server.put("bucket", name, BODY)
    pages = (
        client(server)
        .get_paginator("list_objects_v2")
        .paginate(Bucket="bucket", Prefix="a/", PaginationConfig={"PageSize": 2})
    )
    found, flags = [], []
    for page in pages:
        assert page["KeyCount"] == len(page["Contents"])
        found += [item["Key"] for item in page["Contents"]]
        flags.append(page["IsTruncated"])
    assert found == sorted(names, key=str.encode)
    assert flags == [True] * 4 + [False]


def test_list_entry(s3_server: Factory) -> None:
    server = s3_server()
    server.put("bucket", "k", BODY)
    (item,) = client(server).list_objects_v2(Bucket="bucket", StartAfter="a")["Contents"]
    assert (item["Size"], item["ETag"], item["StorageClass"]) == (len(BODY), f'"{MD5}"', "STANDARD")
    assert abs(item["LastModified"].timestamp() - time.time()) < 60


def test_list_nothing_and_wrong_token(s3_server: Factory) -> None:
    s3 = client(s3_server())
    page = s3.list_objects_v2(Bucket="bucket")
    assert (page["KeyCount"], page["IsTruncated"], "Contents" in page) == (0, False, False)
    assert code_of(s3.list_objects_v2, Bucket="bucket", ContinuationToken="zzz") == (400, "InvalidArgument")


# -- multipart ----------------------------------------------------------------------------------------------


def start_upload(s3: Any, *sizes: int) -> tuple[str, list[dict[str, Any]]]:
    """Upload parts of the given sizes; return the upload's id and what completing takes."""
    upload = s3.create_multipart_upload(Bucket="bucket", Key="k", ContentType="image/png")["UploadId"]
    parts = []
    for number, size in enumerate(sizes, 1):
        data = bytes([number]) * size
        etag = s3.upload_part(Bucket="bucket", Key="k", UploadId=upload, PartNumber=number, Body=data)["ETag"]
        parts.append({"PartNumber": number, "ETag": etag})
    return upload, parts


def test_multipart_upload_completed(s3_tls_server: Factory, tls_material: TlsMaterial) -> None:
    server = s3_tls_server(min_part=1000)
    s3 = client(server, verify=str(tls_material.ca_bundle))
    upload, parts = start_upload(s3, 1000, 1000, 5)
    assert server.objects("bucket") == {}
    s3.complete_multipart_upload(Bucket="bucket", Key="k", UploadId=upload, MultipartUpload={"Parts": parts})
    item = server.objects("bucket")["k"]
    body = b"\x01" * 1000 + b"\x02" * 1000 + b"\x03" * 5
    digests = b"".join(hashlib.md5(part).digest() for part in (body[:1000], body[1000:2000], body[2000:]))
    assert (item.read(), item.etag) == (body, f'"{hashlib.md5(digests).hexdigest()}-3"')
    assert item.headers["content-type"] == "image/png"
    assert server.store.uploads("bucket") == []


def test_multipart_upload_refused(s3_server: Factory) -> None:
    server = s3_server(min_part=1000)
    s3 = client(server)
    upload, parts = start_upload(s3, 999, 5)
    target = {"Bucket": "bucket", "Key": "k", "UploadId": upload}
    assert code_of(s3.complete_multipart_upload, **target, MultipartUpload={"Parts": parts}) == (
        400,
        "EntityTooSmall",
    )
    backwards = {"Parts": parts[::-1]}
    assert code_of(s3.complete_multipart_upload, **target, MultipartUpload=backwards)[1] == "InvalidPartOrder"
    wrong = {"Parts": [{"PartNumber": 2, "ETag": '"0"'}]}
    assert code_of(s3.complete_multipart_upload, **target, MultipartUpload=wrong)[1] == "InvalidPart"
    assert server.objects("bucket") == {}


def test_multipart_upload_if_none_match(s3_server: Factory) -> None:
    server = s3_server()
    server.put("bucket", "k", b"old")
    s3 = client(server)
    upload, parts = start_upload(s3, 5)
    target = {"Bucket": "bucket", "Key": "k", "UploadId": upload, "MultipartUpload": {"Parts": parts}}
    assert code_of(s3.complete_multipart_upload, **target, IfNoneMatch="*") == (412, "PreconditionFailed")
    assert server.objects("bucket")["k"].read() == b"old"


def test_multipart_upload_listed_and_aborted(s3_server: Factory) -> None:
    s3 = client(s3_server())
    first, _ = start_upload(s3, 5)
    second, _ = start_upload(s3)
    pages = s3.get_paginator("list_multipart_uploads").paginate(
        Bucket="bucket", Prefix="k", PaginationConfig={"PageSize": 1}
    )
    assert [upload["UploadId"] for page in pages for upload in page["Uploads"]] == [first, second]
    s3.abort_multipart_upload(Bucket="bucket", Key="k", UploadId=first)
    assert code_of(s3.abort_multipart_upload, Bucket="bucket", Key="k", UploadId=first) == (
        404,
        "NoSuchUpload",
    )
    assert [u["UploadId"] for u in s3.list_multipart_uploads(Bucket="bucket")["Uploads"]] == [second]


# -- faults -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("SlowDown", (503, "SlowDown")),
        ("InternalError", (500, "InternalError")),
        ("BadDigest", (400, "BadDigest")),
        ("RequestTimeout", (400, "RequestTimeout")),
        ("ExpiredToken", (400, "ExpiredToken")),
        ("AccessDenied", (403, "AccessDenied")),
        ("InvalidAccessKeyId", (403, "InvalidAccessKeyId")),
        ("SignatureDoesNotMatch", (403, "SignatureDoesNotMatch")),
        ("RequestTimeTooSkewed", (403, "RequestTimeTooSkewed")),
        ("NoSuchBucket", (404, "NoSuchBucket")),
        ("ConditionalRequestConflict", (409, "ConditionalRequestConflict")),
    ],
)
def test_fault_error_before_storing(s3_server: Factory, fault: str, expected: tuple[int, str]) -> None:
    server = s3_server()
    server.rules.add(Rule(fault, operation="PutObject", count=1))
    put = {"Bucket": "bucket", "Key": "k", "Body": BODY}
    assert code_of(client(server).put_object, **put) == expected
    assert server.objects("bucket") == {}
    client(server).put_object(**put)
    assert [entry.fault for entry in server.requests("PutObject")] == [fault, ""]
    assert server.rules.struck == {fault: 1}


@pytest.mark.parametrize(
    ("fault", "stored"),
    [
        ("drop_before", False),
        ("reset_mid_body", False),
        ("drop_after_store", True),
        ("garbage_answer", True),
    ],
)
def test_fault_without_answer(s3_server: Factory, fault: str, stored: bool) -> None:
    server = s3_server()
    server.rules.add(Rule(fault))
    with pytest.raises((OSError, http.client.HTTPException)):
        send(signed(server, "PUT", "/bucket/k"), BODY)
    assert ("k" in server.objects("bucket")) == stored


def test_fault_cut_answer_ends_inside_the_head(s3_server: Factory) -> None:
    server = s3_server()
    server.rules.add(Rule("cut_answer"))
    request = signed(server, "PUT", "/bucket/k")
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    start = (
        f"PUT /bucket/k HTTP/1.1\r\nHost: {urlsplit(server.url).netloc}\r\n{head}Content-Length: 0\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.network.port), timeout=5) as sock:
        sock.sendall(start.encode())
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\n\r\n" not in answer
    assert "k" in server.objects("bucket")


@pytest.mark.parametrize("fault", ["close_reused", "close_after"])
def test_fault_kept_connection_closed(s3_server: Factory, fault: str) -> None:
    server = s3_server()
    server.rules.add(Rule(fault))
    connection = http.client.HTTPConnection("127.0.0.1", server.network.port, timeout=5)
    for name in "ab":
        request = signed(server, "PUT", f"/bucket/{name}")
        if name == "b":
            with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
                connection.request("PUT", "/bucket/b", BODY, dict(request.headers.items()))
                connection.getresponse()
        else:
            connection.request("PUT", "/bucket/a", BODY, dict(request.headers.items()))
            answer = connection.getresponse()
            assert (answer.status, answer.read(), answer.will_close) == (200, b"", False)
    connection.close()
    assert list(server.objects("bucket")) == ["a"]


def test_fault_html_for_head_has_no_body(s3_server: Factory) -> None:
    server = s3_server()
    server.rules.add(Rule("200_html", count=1))
    s3 = client(server)
    assert "ETag" not in s3.head_object(Bucket="bucket", Key="k")
    s3.head_bucket(Bucket="bucket")
    assert server.network.connections == 1


@pytest.mark.parametrize("fault", ["stall_body", "black_hole"])
def test_fault_stall_ends_with_the_client(s3_server: Factory, fault: str) -> None:
    server = s3_server()
    server.rules.add(Rule(fault))
    with pytest.raises(ReadTimeoutError):
        client(server, config={"read_timeout": 0.2}).put_object(Bucket="bucket", Key="k", Body=BODY)
    assert server.objects("bucket") == {}


@pytest.mark.parametrize(
    ("fault", "status", "etag", "stored"),
    [
        ("500_after_store", 500, None, True),
        ("200_without_etag", 200, None, True),
        ("200_wrong_etag", 200, "00000000000000000000000000000bad", True),
        ("200_lost", 200, MD5, False),
        ("200_html", 200, None, False),
        ("200_empty", 200, None, False),
        ("301", 301, None, False),
        ("302", 302, None, False),
        ("307", 307, None, False),
        ("slow_answer", 200, MD5, True),
        ("drip_answer", 200, MD5, True),
    ],
)
def test_fault_put_answer(
    s3_server: Factory, fault: str, status: int, etag: str | None, stored: bool
) -> None:
    server = s3_server()
    server.rules.add(Rule(fault, seconds=0.001))
    request = signed(server, "PUT", "/bucket/k")
    connection = http.client.HTTPConnection("127.0.0.1", server.network.port, timeout=5)
    connection.request("PUT", "/bucket/k", BODY, dict(request.headers.items()))
    answer = connection.getresponse()
    answer.read()
    connection.close()
    found = answer.headers.get("ETag")
    assert (answer.status, found.strip('"') if found else None) == (status, etag)
    assert [item.read() for item in server.objects("bucket").values()] == [BODY] * stored


def test_fault_corrupt_store_is_seen_in_the_etag(s3_server: Factory) -> None:
    server = s3_server()
    server.rules.add(Rule("corrupt_store"))
    etag = client(server).put_object(Bucket="bucket", Key="k", Body=BODY)["ETag"]
    held = server.objects("bucket")["k"].read()
    assert (len(held), etag) == (len(BODY), f'"{hashlib.md5(held).hexdigest()}"')
    assert held != BODY


def test_fault_retry_after(s3_server: Factory) -> None:
    server = s3_server()
    server.rules.add(Rule("SlowDown", value="7"))
    with pytest.raises(ClientError) as caught:
        client(server).put_object(Bucket="bucket", Key="k", Body=BODY)
    assert caught.value.response["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "7"


def test_fault_complete_200_error(s3_server: Factory) -> None:
    server = s3_server()
    s3 = client(server)
    upload, parts = start_upload(s3, 5)
    server.rules.add(Rule("complete_200_error", operation="CompleteMultipartUpload"))
    target = {"Bucket": "bucket", "Key": "k", "UploadId": upload, "MultipartUpload": {"Parts": parts}}
    assert code_of(s3.complete_multipart_upload, **target)[1] == "InternalError"
    assert server.objects("bucket") == {}


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        pytest.param("list_empty", lambda body: body == b"", id="empty"),
        pytest.param(
            "list_truncated_xml", lambda body: not body.endswith(b"</ListBucketResult>"), id="truncated"
        ),
        pytest.param(
            "list_no_token",
            lambda body: b"<IsTruncated>true<" in body and b"NextContinuationToken" not in body,
            id="no token",
        ),
        pytest.param("list_no_key_count", lambda body: b"KeyCount" not in body, id="no key count"),
        pytest.param("200_html", lambda body: body.startswith(b"<!DOCTYPE html>"), id="html"),
    ],
)
def test_fault_of_listing(s3_server: Factory, fault: str, check: Callable[[bytes], bool]) -> None:
    server = s3_server()
    server.put("bucket", "k", BODY)
    server.rules.add(Rule(fault, operation="ListObjectsV2"))
    status, _, body = send(signed(server, "GET", "/bucket?list-type=2"))
    assert status == 200
    assert check(body)


def test_fault_listing_repeats_its_token(s3_server: Factory) -> None:
    server = s3_server()
    for name in "abcd":
        server.put("bucket", name, BODY)
    server.rules.add(Rule("list_same_token", operation="ListObjectsV2"))
    s3 = client(server)
    token = s3.list_objects_v2(Bucket="bucket", MaxKeys=2)["NextContinuationToken"]
    page = s3.list_objects_v2(Bucket="bucket", MaxKeys=2, ContinuationToken=token)
    assert (page["NextContinuationToken"], page["IsTruncated"]) == (token, True)


def test_fault_hook_sees_the_request(s3_server: Factory) -> None:
    server = s3_server(hook=lambda operation, key, request: Rule("AccessDenied") if key == "b" else None)
    s3 = client(server)
    s3.put_object(Bucket="bucket", Key="a", Body=BODY)
    assert code_of(s3.put_object, Bucket="bucket", Key="b", Body=BODY) == (403, "AccessDenied")


def test_fault_unknown_name(s3_server: Factory) -> None:
    with pytest.raises(ValueError, match="unknown fault 'SlowUp'"):
        s3_server().rules.add(Rule("SlowUp"))


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_network_refused_and_back_on_the_same_port(
    s3_server: Factory, s3_tls_server: Factory, tls_material: TlsMaterial, tls: bool
) -> None:
    server = s3_tls_server() if tls else s3_server()
    s3 = client(server, verify=str(tls_material.ca_bundle))
    s3.head_bucket(Bucket="bucket")
    server.network.refuse()
    with pytest.raises((EndpointConnectionError, ConnectionClosedError)):
        s3.head_bucket(Bucket="bucket")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.network.port), timeout=2)
    server.network.heal()
    s3.head_bucket(Bucket="bucket")


def test_network_refused_for_a_time(s3_server: Factory) -> None:
    server = s3_server()
    server.network.refuse(seconds=0.2)
    deadline = time.monotonic() + 5
    while True:
        try:
            socket.create_connection(("127.0.0.1", server.network.port), timeout=1).close()
            break
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_network_black_hole_answers_after_healing(s3_server: Factory) -> None:
    server = s3_server()
    s3 = client(server, config={"read_timeout": 5})
    with ThreadPoolExecutor(1) as pool:
        server.network.black_hole()
        answer = pool.submit(s3.head_bucket, Bucket="bucket")
        with pytest.raises(ReadTimeoutError):
            client(server, config={"read_timeout": 0.2}).head_bucket(Bucket="bucket")
        assert not answer.done()
        server.network.heal()
        assert answer.result(5)["BucketRegion"] == "us-west-2"


# -- as a process -------------------------------------------------------------------------------------------


def test_process_with_control(tmp_path: Path, tls_material: TlsMaterial) -> None:
    bodies = tmp_path / "bodies"
    bodies.mkdir()
    settings = (
        '{"credentials": {"AKIATEST": "secret"}, "buckets": ["one"], "allow": ["PutObject", "ListBucket"]}'
    )
    arguments = ("--tls", str(tls_material.certificate), "--dir", str(bodies), "--settings", settings)
    with ServerProcess("tests.fakes.s3", tmp_path, *arguments) as server:
        s3 = client(server, verify=str(tls_material.ca_bundle))
        server.control.add_rule("SlowDown", name="burst", count=1)
        assert code_of(s3.put_object, Bucket="one", Key="k", Body=BODY) == (503, "SlowDown")
        s3.put_object(Bucket="one", Key="k", Body=BODY)
        (item,) = server.control.call("objects", bucket="one")
        assert (item["key"], item["size"], item["md5"]) == ("k", len(BODY), MD5)
        assert [file.stat().st_size for file in bodies.iterdir()] == [len(BODY)]
        assert base64.b64decode(server.control.call("body", bucket="one", key="k")) == BODY
        assert server.control.call("counters")["PutObject 200"] == 1
        assert server.control.call("struck") == {"SlowDown": 1}
        assert server.control.call("writes", bucket="one") == {"k": 1}
        server.control.call("change", allow=["GetObject"])
        assert code_of(s3.list_objects_v2, Bucket="one") == (403, "AccessDenied")
        with pytest.raises(ControlError, match="unknown fault"):
            server.control.add_rule("nonsense")
        with pytest.raises(ControlError, match="no such command"):
            server.control.call("nonsense")
