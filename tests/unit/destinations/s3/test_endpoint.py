"""Where requests go: to botocore's own address in every region, and to the host that a new bucket's 307 names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Callable, NamedTuple
from urllib.parse import urlsplit

import boto3
import botocore.exceptions
import botocore.session
import pytest
from botocore.awsrequest import AWSPreparedRequest

from cdn2s3.commands.check_context import OK, WARNING, CheckContext
from cdn2s3.commands.check_s3 import check_address
from cdn2s3.destinations.s3 import client as s3_client
from cdn2s3.destinations.s3.client import S3Client
from cdn2s3.destinations.s3.endpoint import Address, address_of, moved, named_in
from cdn2s3.errors import EXIT_FIXABLE, FatalError, UsageError
from cdn2s3.http import pool
from cdn2s3.http.connection import Connection, Origin
from cdn2s3.http.deadline import Deadline
from cdn2s3.http.pool import origin_of
from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.settings.declarations import MigrationSettings
from tests.fakes.rules import Rule
from tests.fakes.s3 import S3Server
from tests.running import Migration
from tests.tiers import neighbors, slow

pytestmark = pytest.mark.filterwarnings("ignore::boto3.exceptions.PythonDeprecationWarning")

_LOADER = botocore.session.Session().get_component("data_loader")  # what it has read serves every session
_UPLOADS = ("put_object", "create_multipart_upload", "upload_part", "complete_multipart_upload")
PARTITIONS = ("aws", "aws-us-gov", "aws-cn")
BUCKETS = ("bucket", "my.dotted.bucket")
REGIONS = [
    region
    for partition in PARTITIONS
    for region in botocore.session.Session().get_available_regions("s3", partition, allow_non_regional=True)
]
EVERY_RUN = {"us-east-1", "us-west-2", "us-gov-west-1", "cn-north-1"}  # and one in seven of the others


class Sent(NamedTuple):
    """What tells where a request goes, and for which region it is signed."""

    method: str
    host: str
    path: str
    region: str


def region_of(authorization: str) -> str:
    found = re.search(r"Credential=[^/]+/\d{8}/([^/]+)/s3/aws4_request", authorization)
    assert found, authorization
    return found[1]


class S3Response:
    """An answer of a RecordingPool."""

    def __init__(self, status: int = 200, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        self.status = status
        self.headers = headers or {}
        self.proxy = ""
        self._body = body

    def body(self) -> bytes:
        return self._body

    def close(self) -> None:
        """Nothing to give back."""

    def __enter__(self) -> S3Response:
        return self

    def __exit__(self, *exception: object) -> None:
        """Nothing to give back."""


class RecordingAdapter(PooledAdapter):
    """Record what is sent, and answer from a script, the last of which is repeated."""

    def __init__(self, *script: S3Response) -> None:
        self.sent: list[Sent] = []
        self.script = list(script) or [S3Response()]

    def pool(self, url: str) -> Any:
        return RecordingPool(self, origin_of(url))


class RecordingPool(NamedTuple):
    """A ConnectionPool to nobody."""

    adapter: RecordingAdapter
    origin: Origin

    def request(self, method: str, pieces: Sequence[bytes], deadline: Deadline) -> S3Response:
        first, *lines = pieces[0].decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        path = urlsplit(first.split(" ")[1]).path
        sent = Sent(method, headers["host"], path, region_of(headers["authorization"]))
        assert sent.host == self.origin.host
        self.adapter.sent.append(sent)
        script = self.adapter.script
        return script.pop(0) if len(script) > 1 else script[0]


@pytest.fixture(autouse=True)
def configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Give every test keys and a profile of its own; return a function that writes that profile."""
    config = tmp_path / "config"
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIATEST",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(config),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(s3_client, "aws_session", _quick(s3_client.aws_session))

    def write(text: str) -> None:
        config.write_text(f"[default]\n{text}\n", encoding="utf-8")

    return write


def _quick(made: Callable[..., botocore.session.Session]) -> Callable[..., botocore.session.Session]:
    """Let the sessions of made share what one has read of botocore's files: 20 ms a client instead of 100."""

    def quick(settings: MigrationSettings, *more: Any) -> botocore.session.Session:
        session = made(settings, *more)
        session.register_component("data_loader", _LOADER)
        return session

    return quick


def settings_of(region: str, bucket: str, **more: Any) -> MigrationSettings:
    return MigrationSettings(destination_bucket=bucket, aws_region=region, **more)


class Stop(Exception):
    """End a request of botocore's before it is sent."""


class Botocore:
    """A plain client, as anybody makes one; every request is stopped before it is sent."""

    def __init__(self, region: str, **options: Any) -> None:
        core = botocore.session.Session()
        core.register_component("data_loader", _LOADER)
        session = boto3.session.Session(botocore_session=core, region_name=region)
        self._client = session.client("s3", **options)
        self._client.meta.events.register("before-send.s3", self._stop)

    def _stop(self, request: AWSPreparedRequest, **unused: Any) -> None:
        parts = urlsplit(request.url)
        region = region_of(str(request.headers["Authorization"]))
        self._sent = Sent(str(request.method), parts.netloc, parts.path or "/", region)
        raise Stop

    def sends(self, operation: str, bucket: str) -> Sent:
        with pytest.raises(Stop):
            getattr(self._client, operation)(Bucket=bucket, **parameters(operation))
        return self._sent

    def all(self, bucket: str) -> list[Sent]:
        plain = ("put_object", "get_object", "head_object", "delete_object", "list_objects_v2")
        return [self.sends(operation, bucket) for operation in plain + _UPLOADS]


def parameters(operation: str) -> dict[str, Any]:
    if operation == "list_objects_v2":
        return {"Prefix": "a"}
    more: dict[str, Any] = {
        "put_object": {"Body": b"x"},
        "upload_part": {"Body": b"x", "UploadId": "u", "PartNumber": 1},
        "complete_multipart_upload": {"UploadId": "u", "MultipartUpload": {"Parts": []}},
    }
    return {"Key": "a/ä b.jpg", **more.get(operation, {})}


def ours(region: str, bucket: str, **more: Any) -> list[Sent]:
    """Return what our client sends: signed PUT, GET, HEAD, DELETE and list, and boto3's uploads."""
    adapter = RecordingAdapter()
    client = S3Client(settings_of(region, bucket, **more), adapter)
    for method in ("PUT", "GET", "HEAD", "DELETE"):
        client.request(method, "a/ä b.jpg", Deadline(5), body=(b"x",) if method == "PUT" else ())
    client.request("GET", "", Deadline(5), query={"list-type": "2", "prefix": "a"})
    for operation in _UPLOADS:
        client.call(operation, Deadline(5), **parameters(operation))
    return adapter.sent


# --- the address is botocore's ---


@pytest.mark.parametrize(
    "region",
    [
        region if region in EVERY_RUN or number % 14 == 0 else slow(region)
        for number, region in enumerate(REGIONS)
    ],
)
def test_every_request_goes_where_botocore_sends_it(region: str) -> None:
    botocores = Botocore(region)
    for bucket in BUCKETS:
        assert ours(region, bucket) == botocores.all(bucket)


def test_table_has_the_regions_and_their_hosts() -> None:
    assert len(REGIONS) >= 35
    assert {"us-east-1", "us-gov-west-1", "cn-north-1", "ap-east-1"} <= set(REGIONS)
    for region, host in {
        "us-east-1": "bucket.s3.amazonaws.com",
        "us-west-2": "bucket.s3.us-west-2.amazonaws.com",
        "il-central-1": "bucket.s3.il-central-1.amazonaws.com",
        "cn-north-1": "bucket.s3.cn-north-1.amazonaws.com.cn",
    }.items():
        assert {sent.host for sent in ours(region, "bucket")} == {host}


VARIANTS = {
    "path": "s3 =\n  addressing_style = path",
    "virtual": "s3 =\n  addressing_style = virtual",
    "dual-stack": "use_dualstack_endpoint = true",
    "dual-stack of s3": "s3 =\n  use_dualstack_endpoint = true",
    "FIPS": "use_fips_endpoint = true",
    "FIPS and dual-stack": "use_fips_endpoint = true\nuse_dualstack_endpoint = true",
    "accelerate": "s3 =\n  use_accelerate_endpoint = true",
    "accelerate and dual-stack": "use_dualstack_endpoint = true\ns3 =\n  use_accelerate_endpoint = true",
    "us-east-1 regional": "s3 =\n  us_east_1_regional_endpoint = regional",
}
REFUSED = {
    ("FIPS", "cn-north-1"): "does not support FIPS",
    ("FIPS and dual-stack", "cn-north-1"): "does not support FIPS",
    ("accelerate", "cn-north-1"): "cannot be used in this region",
    ("accelerate and dual-stack", "cn-north-1"): "cannot be used in this region",
}


@pytest.mark.parametrize("region", neighbors("us-east-1", "eu-central-1", "us-gov-west-1", "cn-north-1"))
@pytest.mark.parametrize("variant", VARIANTS)
def test_profile_counts_as_botocore_counts_it(
    variant: str, region: str, configuration: Callable[[str], None]
) -> None:
    configuration(VARIANTS[variant])
    for bucket in BUCKETS:
        reason = REFUSED.get((variant, region), "")
        if "accelerate" in variant and "." in bucket:
            reason = "Path-style addressing cannot be used with S3 Accelerate"
        if not reason:
            assert ours(region, bucket) == Botocore(region).all(bucket)
            continue
        with pytest.raises(UsageError, match=f"no usable address: .*{reason}"):
            ours(region, bucket)


@pytest.mark.parametrize("style", ["path", "virtual"])
@pytest.mark.parametrize("variant", ["path", "virtual", "dual-stack of s3", "FIPS", "accelerate"])
def test_addressing_style_takes_the_place_of_the_profiles_and_of_nothing_else(
    style: str, variant: str, configuration: Callable[[str], None]
) -> None:
    configuration(VARIANTS[variant])
    sent = ours("us-west-2", "bucket", s3_addressing_style=style)
    profile = VARIANTS[variant].replace("  addressing_style = ", "  was = ")
    of_s3 = "" if "s3 =" in profile else "\ns3 ="
    configuration(f"{profile}{of_s3}\n  addressing_style = {style}")
    assert sent == ours("us-west-2", "bucket") == Botocore("us-west-2").all("bucket")


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("AWS_USE_FIPS_ENDPOINT", "bucket.s3-fips.us-west-2.amazonaws.com"),
        ("AWS_USE_DUALSTACK_ENDPOINT", "bucket.s3.dualstack.us-west-2.amazonaws.com"),
    ],
)
def test_environment_counts_as_botocore_counts_it(
    name: str, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "true")
    assert {sent.host for sent in ours("us-west-2", "bucket")} == {host}
    assert ours("us-west-2", "bucket") == Botocore("us-west-2").all("bucket")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9000", "https://store.example/s3", "https://s3.us-west-2.amazonaws.com"]
)
@pytest.mark.parametrize("profile", ["", VARIANTS["virtual"], VARIANTS["FIPS"]])
def test_endpoint_of_ones_own_counts_as_botocore_counts_it(
    url: str, profile: str, configuration: Callable[[str], None]
) -> None:
    configuration(profile)
    for bucket in BUCKETS:
        expected = Botocore("us-west-2", endpoint_url=url).sends("put_object", bucket)
        core = s3_client.aws_session(settings_of("us-west-2", bucket))
        client = s3_client.boto3_client(settings_of("us-west-2", bucket, aws_endpoint_url=url), core)
        address = address_of(client, bucket)
        assert (address.host, f"{address.path}/a/%C3%A4%20b.jpg") == (expected.host, expected.path)
        assert address.region == expected.region


def test_endpoint_urls_of_the_configuration_are_ignored(
    configuration: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration("endpoint_url = http://profile.example")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://environment.example")
    assert {sent.host for sent in ours("us-west-2", "bucket")} == {"bucket.s3.us-west-2.amazonaws.com"}


def test_missing_credentials_are_named_before_the_address(
    configuration: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration(VARIANTS["FIPS"])
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(FatalError, match="no AWS credentials were found") as caught:
        ours("cn-north-1", "bucket")
    assert not isinstance(caught.value, UsageError)


def test_address_of_another_client_spares_the_boto3_client() -> None:
    adapter = RecordingAdapter()
    address = Address("https://bucket.s3.us-west-2.amazonaws.com", "us-west-2")
    client = S3Client(settings_of("us-west-2", "bucket"), adapter, address)
    client.request("HEAD", "k", Deadline(5))
    assert client._boto3 is None
    assert adapter.sent == [Sent("HEAD", "bucket.s3.us-west-2.amazonaws.com", "/k", "us-west-2")]


@pytest.mark.parametrize("option", ["--check", ""])
def test_address_that_botocore_refuses_is_exit_2_with_the_reason(tmp_path: Path, option: str) -> None:
    config = tmp_path / "config"
    config.write_text(f"[default]\n{VARIANTS['accelerate']}\n", encoding="utf-8")
    job = Migration(
        tmp_path, DESTINATION_BUCKET="my.dotted.bucket", AWS_ENDPOINT_URL="", AWS_CONFIG_FILE=str(config)
    )
    job.urls(["https://d278yjzsv5tla9.cloudfront.net/a.jpg"])
    ran = job.run(*option.split(), quick={})
    assert "Path-style addressing cannot be used with S3 Accelerate" in ran.said
    assert ran.code == EXIT_FIXABLE
    assert "Traceback" not in ran.said


IGNORING = {
    "use_fips_endpoint = true": "FIPS",
    "use_dualstack_endpoint = true": "dual-stack",
    VARIANTS["dual-stack of s3"]: "dual-stack",
    VARIANTS["FIPS and dual-stack"]: "FIPS, dual-stack",
}


@pytest.mark.parametrize(
    "profile", [*IGNORING, "s3 =\n  use_dualstack_endpoint = false", VARIANTS["virtual"], ""]
)
@pytest.mark.parametrize("url", ["", "http://127.0.0.1:1"])
def test_check_says_where_requests_go_and_what_is_ignored(
    profile: str, url: str, configuration: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration(profile)
    monkeypatch.setattr(CheckContext, "can_sign", True)
    with closing(CheckContext(settings_of("us-west-2", "bucket", aws_endpoint_url=url or None))) as visit:
        (finding,) = check_address(visit)
        assert finding.detail.startswith(f"{visit.client.address.url}, signed for us-west-2")
    missed = IGNORING.get(profile, "") if url else ""
    assert finding.level == (WARNING if missed else OK)
    assert ("AWS_ENDPOINT_URL" in finding.remedy) == bool(missed)
    assert finding.detail.endswith(f"configuration options: {missed}" if missed else "signed for us-west-2")


def test_check_leaves_missing_credentials_to_their_own_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CheckContext, "can_sign", False)
    with closing(CheckContext(settings_of("us-west-2", "bucket"))) as visit:
        assert check_address(visit) == []


# --- a 307 of a new bucket ---

HERE = Address("https://bucket.s3.amazonaws.com", "us-east-1")
THERE = "bucket.s3.us-west-2.amazonaws.com"
XML = f"<Error><Code>TemporaryRedirect</Code><Endpoint>{THERE}</Endpoint></Error>".encode()


def redirect(location: str = f"https://{THERE}/k", body: bytes = b"") -> S3Response:
    return S3Response(307, {"location": location} if location else {}, body)


def at_aws(adapter: RecordingAdapter, address: Address = HERE) -> S3Client:
    return S3Client(settings_of(address.region, "bucket"), adapter, address)


@pytest.mark.parametrize(
    "reply", [redirect(), redirect(f"http://{THERE}:443/k"), redirect("", XML), redirect(f"//{THERE}/k")]
)
@pytest.mark.parametrize("way", ["signed", "streamed", "boto3"])
def test_redirect_to_the_buckets_region_is_followed_once_for_the_run(
    way: str, reply: S3Response, caplog: pytest.LogCaptureFixture
) -> None:
    adapter = RecordingAdapter(reply, S3Response())
    client = at_aws(adapter)
    for _ in range(2):
        if way == "boto3":
            assert client.call("put_object", Deadline(5), Key="k", Body=b"x")[0].status == 200
        elif way == "signed":
            assert client.request("PUT", "k", Deadline(5), body=(b"x",)).status == 200
        else:
            assert client.open("PUT", "k", Deadline(5), body=(b"x",)).status == 200
    client.call(
        "put_public_access_block", Deadline(5), PublicAccessBlockConfiguration={"BlockPublicAcls": True}
    )
    client.request("GET", "", Deadline(5))
    assert adapter.sent == [
        Sent("PUT", "bucket.s3.amazonaws.com", "/k", "us-east-1"),
        Sent("PUT", THERE, "/k", "us-west-2"),
        Sent("PUT", THERE, "/k", "us-west-2"),
        Sent("PUT", THERE, "/", "us-west-2"),
        Sent("GET", THERE, "/", "us-west-2"),
    ]
    (line,) = caplog.messages
    assert THERE in line and "307" in line and "set AWS_REGION=us-west-2" in line


def test_multipart_upload_follows_a_redirect_in_its_middle() -> None:
    adapter = RecordingAdapter(S3Response(), redirect(), S3Response())
    client = at_aws(adapter)
    for operation in _UPLOADS[1:]:
        assert client.call(operation, Deadline(5), **parameters(operation))[0].status == 200
    assert [sent.host for sent in adapter.sent] == ["bucket.s3.amazonaws.com"] * 2 + [THERE] * 2


def test_new_host_is_that_of_the_other_processes_too() -> None:
    first = RecordingAdapter(redirect(), S3Response())
    client = at_aws(first)
    client.request("HEAD", "k", Deadline(5))
    other = RecordingAdapter()
    theirs = at_aws(other, client.address)
    theirs.request("HEAD", "k", Deadline(5))
    theirs.call("put_object", Deadline(5), Key="k", Body=b"x")
    assert other.sent == [Sent("HEAD", THERE, "/k", "us-west-2"), Sent("PUT", THERE, "/k", "us-west-2")]


@pytest.mark.parametrize("way", ["signed", "boto3"])
def test_request_that_was_underway_while_another_followed_is_sent_again(
    way: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two threads ask the old host at once; both are redirected, one says so."""
    adapter = RecordingAdapter()
    client = at_aws(adapter)
    recorded = RecordingPool.request
    first = iter([True])

    def request(wire: RecordingPool, method: str, pieces: Sequence[bytes], deadline: Deadline) -> S3Response:
        if next(first, False):
            client.request("HEAD", "of another thread", Deadline(5))
        answer = recorded(wire, method, pieces, deadline)
        return redirect() if wire.origin.host == HERE.host else answer

    monkeypatch.setattr(RecordingPool, "request", request)
    if way == "boto3":
        assert client.call("put_object", Deadline(5), Key="k", Body=b"x")[0].status == 200
    else:
        assert client.request("PUT", "k", Deadline(5), body=(b"x",)).status == 200
    assert [sent.host for sent in adapter.sent] == [HERE.host, THERE] * 2
    assert [sent.method for sent in adapter.sent] == ["HEAD", "HEAD", "PUT", "PUT"]
    assert len(caplog.messages) == 1


@pytest.mark.parametrize("way", ["signed", "boto3"])
def test_second_redirect_stops_the_run(way: str) -> None:
    adapter = RecordingAdapter(redirect(), redirect("https://bucket.s3.eu-west-1.amazonaws.com/k"))
    client = at_aws(adapter)
    with pytest.raises(FatalError, match="AWS_REGION"):
        if way == "boto3":
            client.call("put_object", Deadline(5), Key="k", Body=b"x")
        raise client.request("PUT", "k", Deadline(5), body=(b"x",)).error("PUT")
    assert len(adapter.sent) == 2


@pytest.mark.parametrize("status", [301, 302, 303, 308])
def test_other_redirects_are_not_followed(status: int) -> None:
    adapter = RecordingAdapter(
        S3Response(status, {"location": f"https://{THERE}/k", "x-amz-bucket-region": "us-west-2"})
    )
    client = at_aws(adapter)
    with pytest.raises(FatalError, match="set AWS_REGION=us-west-2"):
        client.call("put_object", Deadline(5), Key="k", Body=b"x")
    with pytest.raises(FatalError, match="set AWS_REGION=us-west-2"):
        raise client.request("PUT", "k", Deadline(5), body=(b"x",)).error("PUT")
    assert [sent.host for sent in adapter.sent] == [HERE.host] * 2


def test_wrong_region_is_named_both_ways_and_not_followed() -> None:
    body = b"<Error><Code>AuthorizationHeaderMalformed</Code><Region>us-west-2</Region></Error>"
    adapter = RecordingAdapter(S3Response(400, {}, body))
    client = at_aws(adapter)
    with pytest.raises(FatalError, match="set AWS_REGION=us-west-2"):
        client.call("put_object", Deadline(5), Key="k", Body=b"x")
    with pytest.raises(FatalError, match="set AWS_REGION=us-west-2"):
        raise client.request("PUT", "k", Deadline(5), body=(b"x",)).error("PUT")
    assert [sent.region for sent in adapter.sent] == ["us-east-1"] * 2


@pytest.mark.parametrize(
    "location",
    [
        "",
        "/k",
        "https://bucket.s3.amazonaws.com/k",
        "https://other.s3.us-west-2.amazonaws.com/k",
        "https://evil-bucket.s3.us-west-2.amazonaws.com/k",
        "https://s3.us-west-2.amazonaws.com/other/k",
        "https://bucket.s3.us-west-2.amazonaws.com.cn/k",
        "https://bucket.s3.us-west-2.amazonaws.com.evil.example/k",
        "https://bucket.s3.us-west-2.amazonaws.com:8443/k",
        "https://bucket.s3.us-west-2.amazonaws.com@evil.example/k",
        "https://evil.example/bucket.s3.us-west-2.amazonaws.com",
        "https://bucket.s3.us-west-2amazonaws.com/k",
        "https://bucket.s3-accesspoint.us-west-2.amazonaws.com/k",
        "https://bucket.s3-website-us-west-2.amazonaws.com/k",
        "https://bucket.s3.us-west-2.evil.amazonaws.com/k",
        "https://bucket.ec2.us-west-2.amazonaws.com/k",
        "https://[bucket.s3.us-west-2.amazonaws.com/k",
        "https://bucket.s3.us-west-2.amazonaws.com:port/k",
    ],
)
def test_signed_request_never_goes_to_a_host_that_is_not_the_buckets(location: str) -> None:
    adapter = RecordingAdapter(redirect(location))
    client = at_aws(adapter)
    with pytest.raises(FatalError, match="AWS_REGION"):
        client.call("put_object", Deadline(5), Key="k", Body=b"x")
    with pytest.raises(FatalError, match="AWS_REGION"):
        raise client.request("PUT", "k", Deadline(5), body=(b"x",)).error("PUT")
    assert [sent.host for sent in adapter.sent] == [HERE.host] * 2


@pytest.mark.parametrize(
    ("here", "named", "there"),
    [
        ("bucket.s3.amazonaws.com", THERE, THERE),
        ("bucket.s3.amazonaws.com", "bucket.s3-us-west-2.amazonaws.com", "bucket.s3-us-west-2.amazonaws.com"),
        ("bucket.s3-accelerate.amazonaws.com", THERE, THERE),
        ("bucket.s3-accelerate.dualstack.amazonaws.com", THERE, THERE),
        ("bucket.s3.cn-north-1.amazonaws.com.cn", "bucket.s3.cn-northwest-1.amazonaws.com.cn", None),
        ("bucket.s3-fips.us-east-1.amazonaws.com", THERE, ""),
        ("bucket.s3-fips.us-east-1.amazonaws.com", "bucket.s3-fips.us-west-2.amazonaws.com", None),
        ("bucket.s3.cn-north-1.amazonaws.com.cn", THERE, ""),
        ("s3.amazonaws.com/bucket", "s3.us-west-2.amazonaws.com", "s3.us-west-2.amazonaws.com/bucket"),
        ("s3.amazonaws.com/bucket", THERE, "s3.us-west-2.amazonaws.com/bucket"),
        ("bucket.s3.amazonaws.com", "s3.us-west-2.amazonaws.com", ""),
        ("bucket.vpce-1.s3.us-west-2.vpce.amazonaws.com", THERE, ""),
        ("store.example/bucket", THERE, ""),
        ("bucket.s3.us-east-1.amazonaws.com", "bucket.s3.us-gov-west-1.amazonaws.com", ""),
        ("127.0.0.1:9000/bucket", THERE, ""),
    ],
)
def test_where_a_redirect_leads(here: str, named: str, there: str | None) -> None:
    found = moved(Address(f"https://{here}", "us-east-1"), "bucket", named)
    expected = named if there is None else there
    assert (found.url if found else "") == (f"https://{expected}" if expected else "")
    if found:
        assert found.left == here.partition("/")[0]
        assert f"{found.region}." in named


def test_host_is_taken_from_the_location_before_the_body() -> None:
    assert named_in("https://Bucket.s3.eu-west-1.amazonaws.com/k", XML) == "bucket.s3.eu-west-1.amazonaws.com"
    assert named_in("", XML) == THERE
    assert named_in("", b"<html>") == ""


@pytest.fixture
def two_regions(
    s3_server: Callable[..., S3Server], monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, S3Server]]:
    """Strict servers in the place of two of AWS's hosts."""
    bucket = BUCKETS[1]
    servers = {
        "s3.amazonaws.com": s3_server(region="us-east-1", buckets=[bucket]),
        "s3.us-west-2.amazonaws.com": s3_server(region="us-west-2", buckets=[bucket]),
    }

    def connection(origin: Origin, tls: Any, deadline: Deadline) -> Connection:
        return Connection(origin_of(servers[origin.host].url), None, deadline)

    monkeypatch.setattr(pool, "Connection", connection)
    yield servers


@pytest.mark.parametrize("way", ["signed", "boto3"])
def test_strict_store_takes_the_new_signature(way: str, two_regions: dict[str, S3Server]) -> None:
    first, second = two_regions.values()
    first.rules.add(Rule("307", value="https://s3.us-west-2.amazonaws.com/my.dotted.bucket/a.jpg"))
    adapter = PooledAdapter(1)
    client = S3Client(settings_of("us-east-1", BUCKETS[1]), adapter)
    body = b"x" * 1_000_000
    for key in ("a.jpg", "b.jpg"):
        if way == "boto3":
            reply = client.call("put_object", Deadline(5), Key=key, Body=body)[0]
        else:
            reply = client.request("PUT", key, Deadline(5), body=(body,))
        assert reply.status == 200, reply
    assert {key: stored.read() for key, stored in second.objects(BUCKETS[1]).items()} == {
        "a.jpg": body,
        "b.jpg": body,
    }
    assert len(first.log) == 1
    adapter.close()
