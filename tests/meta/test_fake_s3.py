"""The local S3 is as strict as the real one: shown with boto3, requests signed by hand, and raw sockets."""

from __future__ import annotations

import base64
import hashlib
import http.client
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from tests.fakes.s3 import S3Server

BODY = b"\xff\xd8" + b"image" * 4000 + b"\xff\xd9"
MD5_64 = base64.b64encode(hashlib.md5(BODY).digest()).decode()
OTHER_MD5_64 = base64.b64encode(hashlib.md5(b"other").digest()).decode()
Factory = Callable[..., S3Server]

pytestmark = pytest.mark.filterwarnings("ignore::boto3.exceptions.PythonDeprecationWarning")


def client(server: S3Server, **options: Any) -> Any:
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


def test_session_token_required_and_right(s3_server: Factory) -> None:
    server = s3_server(tokens={"AKIATEST": "token"})
    put = {"Bucket": "bucket", "Key": "k", "Body": BODY}
    assert code_of(client(server).put_object, **put) == (403, "InvalidAccessKeyId")
    assert code_of(client(server, aws_session_token="other").put_object, **put) == (400, "InvalidToken")
    client(server, aws_session_token="token").put_object(**put)


# -- bodies and digests -------------------------------------------------------------------------------------


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


# -- ETags --------------------------------------------------------------------------------------------------


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


# -- faults -------------------------------------------------------------------------------------------------


# -- as a process -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "wrong", "right", "absent"),
    [
        ("honor", 412, 200, 404),
        ("ignore", 200, 200, 200),
        ("refuse", 501, 501, 501),
        ("create", 412, 200, 200),
    ],
)
def test_if_match_on_writes(s3_server: Factory, mode: str, wrong: int, right: int, absent: int) -> None:
    server = s3_server(put_if_match=mode)
    s3 = client(server)
    etag = s3.put_object(Bucket="bucket", Key="a", Body=b"1")["ETag"]

    def status(key: str, condition: str) -> int:
        try:
            reply = s3.put_object(Bucket="bucket", Key=key, Body=b"1", IfMatch=condition)
        except ClientError as error:
            reply = error.response
        return int(reply["ResponseMetadata"]["HTTPStatusCode"])

    assert (status("a", '"other"'), status("a", etag), status("b", etag)) == (wrong, right, absent)
