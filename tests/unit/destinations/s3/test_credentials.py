"""Every way in which the AWS chain fails: no credentials, the reason, the remedy, never a traceback or a secret."""

from __future__ import annotations

import json
import os
import shlex
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha1
from pathlib import Path
from typing import Any, Callable, NamedTuple

import botocore.credentials
import botocore.endpoint
import botocore.session
import botocore.utils
import pytest

from cdn2s3.destinations.s3 import credentials, metadata_service
from cdn2s3.destinations.s3.client import S3Client
from cdn2s3.destinations.s3.credentials import PROVIDERS, aws_session, credentials_of
from cdn2s3.destinations.s3.signing import Signer
from cdn2s3.errors import FatalError, TransientError, UsageError
from cdn2s3.http.dialing import Origin
from cdn2s3.http.pool import origin_of
from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.settings.declarations import MigrationSettings
from tests.fakes.proxy import ProxyServer
from tests.fakes.wire import Connection, Listener, response

CANARY = "s3cret-canary"
SETTINGS = MigrationSettings(destination_bucket="bucket", aws_region="eu-west-1")


class Services:
    """AWS's own services, as an adapter: nothing leaves this machine."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.status, self.body = 403, b""

    def refuse(self, code: str, message: str = "not authorized to perform: sts:AssumeRole") -> None:
        """Answer as STS does."""
        self.body = (
            f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
            "</ErrorResponse>"
        ).encode()

    def pool(self, url: str) -> _Pool:
        self.asked.append(url)
        return _Pool(self, origin_of(url))


class _Pool(NamedTuple):
    services: Services
    origin: Origin

    def request(self, *unused: Any) -> Any:
        if not self.services.status:
            raise TransientError("connection", f"{self.origin}: Connection refused")
        return closing(_Answer(self.services.status, {}, self.services.body))


class _Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    content: bytes

    def body(self) -> bytes:
        return self.content

    def close(self) -> None:
        """Nothing is open."""


class Place:
    """A machine without credentials, to be given bad ones."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home, self.monkeypatch = home, monkeypatch
        self.services = Services()

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def profile(self, text: str, more: str = "") -> None:
        self.write(".aws/config", f"[default]\n{text}\n{more}")

    def variable(self, name: str, value: object) -> None:
        self.monkeypatch.setenv(name, str(value))

    def process(self, code: str) -> None:
        self.profile(f"credential_process = {shlex.join([sys.executable, '-c', code])}")

    def sso_token(self, text: str) -> None:
        """Write the cache of `aws sso login`; its name is the digest of the start URL (botocore's SSOTokenLoader)."""
        digest = sha1(b"https://login.example/start", usedforsecurity=False).hexdigest()
        self.write(f".aws/sso/cache/{digest}.json", text)

    def serve(self, serve: Callable[[Connection], None]) -> Iterator[str]:
        listener = Listener(serve)
        yield f"http://127.0.0.1:{listener.port}"
        listener.stop()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    for name in [name for name in os.environ if name.startswith(("AWS_", "BOTO"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(botocore.endpoint.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(botocore.utils.ContainerMetadataFetcher, "SLEEP_TIME", 0)
    monkeypatch.setattr(
        botocore.credentials.SSOProvider, "_SSO_TOKEN_CACHE_DIR", str(tmp_path / ".aws/sso/cache")
    )
    monkeypatch.setattr(credentials, "_IMDS_SECONDS", 1)
    monkeypatch.setattr(credentials, "_IMDS_ATTEMPTS", 1)
    monkeypatch.setattr(metadata_service, "_SECONDS", 0.2)
    return Place(tmp_path, monkeypatch)


ROLE = "role_arn = arn:aws:iam::123456789012:role/mover\n"
KEYS = "aws_access_key_id = AKIATEST\naws_secret_access_key = s3cret-canary\n"
SSO = (
    "sso_start_url = https://login.example/start\nsso_region = eu-west-1\nsso_account_id = 123456789012\n"
    "sso_role_name = mover\n"
)
TOKEN = {"startUrl": "https://login.example/start", "region": "eu-west-1", "accessToken": CANARY}


class Way(NamedTuple):
    """One way to fail."""

    method: str  # botocore's name of the provider; "" if the chain does not get that far
    name: str
    prepare: Callable[[Place], object]
    says: str  # in the message


def way(method: str, name: str, says: str, prepare: Callable[[Place], object]) -> Any:
    return pytest.param(Way(method, name, prepare, says), id=f"{method or 'configuration'}: {name}")


def gone_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def web_identity(place: Place, has_token: bool) -> None:
    token = place.write("token", CANARY) if has_token else place.home / "gone"
    place.variable("AWS_WEB_IDENTITY_TOKEN_FILE", token)
    place.variable("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/mover")
    place.services.refuse("InvalidIdentityToken", "No OpenIDConnect provider found")


def refused_role(place: Place, code: str = "AccessDenied") -> None:
    place.profile(f"{ROLE}source_profile = base", f"[profile base]\n{KEYS}")
    place.services.refuse(code)


def unreachable_sts(place: Place) -> None:
    refused_role(place)
    place.services.status = 0


def refused_sso(place: Place) -> None:
    place.profile(SSO)
    place.sso_token(json.dumps({**TOKEN, "expiresAt": "2099-01-01T00:00:00Z"}))
    place.services.status, place.services.body = 401, b'{"__type": "UnauthorizedException", "message": "no"}'


WAYS = [
    way(
        "",
        "profile does not exist",
        r"profile \(nowhere\) could not be found",
        lambda p: p.variable("AWS_PROFILE", "nowhere"),
    ),
    way("", "config file is no text", "config", lambda p: p.write(".aws/config", b"\xff\xfe\0[default]")),
    way("", "config file is damaged", "config", lambda p: p.write(".aws/config", "region = x\n[default\n")),
    way(
        "",
        "credentials file is damaged",
        "config",
        lambda p: p.write(".aws/credentials", "aws_access_key_id\n[[\n"),
    ),
    way(
        "env", "no secret key", "AWS_SECRET_ACCESS_KEY", lambda p: p.variable("AWS_ACCESS_KEY_ID", "AKIATEST")
    ),
    way(
        "env",
        "expired",
        "expired",
        lambda p: [
            p.variable("AWS_ACCESS_KEY_ID", "AKIATEST"),
            p.variable("AWS_SECRET_ACCESS_KEY", CANARY),
            p.variable("AWS_CREDENTIAL_EXPIRATION", "2020-01-01T00:00:00Z"),
        ],
    ),
    way(
        "shared-credentials-file",
        "no secret key",
        "the shared credentials file",
        lambda p: p.write(".aws/credentials", "[default]\naws_access_key_id = AKIATEST\n"),
    ),
    way(
        "config-file",
        "no secret key",
        "the AWS config file",
        lambda p: p.profile("aws_access_key_id = AKIATEST"),
    ),
    way(
        "custom-process",
        "prints a sentence",
        "its output is not JSON",
        lambda p: p.process(f"print('Log in first, {CANARY}')"),
    ),
    way("custom-process", "prints nothing", "its output is not JSON", lambda p: p.process("")),
    way("custom-process", "prints a list", "AttributeError", lambda p: p.process("print('[]')")),
    way(
        "custom-process",
        "prints bytes",
        "its output is not JSON",
        lambda p: p.process("import sys; sys.stdout.buffer.write(bytes([255]))"),
    ),
    way(
        "custom-process", "prints no version", "lacks Version 1 or a key", lambda p: p.process("print('{}')")
    ),
    way(
        "custom-process",
        "prints no keys",
        "lacks Version 1 or a key",
        lambda p: p.process("print('{\"Version\": 1}')"),
    ),
    way(
        "custom-process",
        "exit code 1",
        "another exit code than 0",
        lambda p: p.process(f"import sys; sys.exit('{CANARY}')"),
    ),
    way(
        "custom-process",
        "not there",
        "No such file or directory: /no/such/command",
        lambda p: p.profile("credential_process = /no/such/command --token s3cret-canary"),
    ),
    way(
        "custom-process",
        "not executable",
        "Permission denied",
        lambda p: p.profile(f"credential_process = {p.write('command', '#!/bin/sh')}"),
    ),
    way(
        "custom-process",
        "unbalanced quote",
        "ValueError",
        lambda p: p.profile("credential_process = sh -c 'x"),
    ),
    way(
        "custom-process",
        "expired keys",
        "RuntimeError|still expired",
        lambda p: p.process(
            "import json; print(json.dumps({'Version': 1, 'AccessKeyId': 'A', 'SecretAccessKey': 'B',"
            " 'SessionToken': 'C', 'Expiration': '2020-01-01T00:00:00Z'}))"
        ),
    ),
    way("sso", "nobody has logged in", "Token for", lambda p: p.profile(SSO)),
    way("sso", "damaged cache", "single sign-on", lambda p: [p.profile(SSO), p.sso_token("{damaged")]),
    way("sso", "cache without token", "single sign-on", lambda p: [p.profile(SSO), p.sso_token("{}")]),
    way(
        "sso",
        "expired login",
        "expired|single sign-on",  # older SDKs ask the service first
        lambda p: [p.profile(SSO), p.sso_token(json.dumps({**TOKEN, "expiresAt": "2020-01-01T00:00:00Z"}))],
    ),
    way("sso", "login is refused", "expired|single sign-on", refused_sso),
    way(
        "sso",
        "settings are missing",
        "missing required configuration",
        lambda p: p.profile("sso_account_id = 1"),
    ),
    way("sso", "session does not exist", "does not exist", lambda p: p.profile(f"sso_session = gone\n{SSO}")),
    way(
        "login",
        "nobody has logged in",
        "aws login",
        lambda p: p.profile("login_session = arn:aws:iam::1:user/x"),
    ),
    way(
        "assume-role-with-web-identity",
        "token file is gone",
        "No such file or directory",
        lambda p: web_identity(p, False),
    ),
    way(
        "assume-role-with-web-identity",
        "STS refuses",
        "No OpenIDConnect provider found",
        lambda p: web_identity(p, True),
    ),
    way("assume-role", "STS refuses", "not authorized to perform: sts:AssumeRole", refused_role),
    way(
        "assume-role", "keys of the chain expired", "ExpiredToken", lambda p: refused_role(p, "ExpiredToken")
    ),
    way("assume-role", "STS is unreachable", "Connection refused", unreachable_sts),
    way(
        "assume-role",
        "source profile does not exist",
        "gone",
        lambda p: p.profile(f"{ROLE}source_profile = gone"),
    ),
    way("assume-role", "no source", "credential_source", lambda p: p.profile(ROLE)),
    way(
        "assume-role", "unknown source", "Nowhere", lambda p: p.profile(f"{ROLE}credential_source = Nowhere")
    ),
    way(
        "assume-role",
        "circle",
        "[Ii]nfinite loop",
        lambda p: p.profile(
            f"{ROLE}source_profile = a",
            f"[profile a]\n{ROLE}source_profile = b\n[profile b]\n{ROLE}source_profile = a\n",
        ),
    ),
    way(
        "assume-role",
        "source without keys",
        "assumed role",
        lambda p: p.profile(f"{ROLE}source_profile = a", "[profile a]\naws_access_key_id = AKIATEST\n"),
    ),
    way(
        "container-role",
        "nobody answers",
        "container",
        lambda p: p.variable("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://127.0.0.1:{gone_port()}/"),
    ),
    way(
        "container-role",
        "host is not allowed",
        "[Uu]nsupported host 'example.com'",
        lambda p: p.variable("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://example.com/"),
    ),
    way(
        "container-role",
        "token file is gone",
        "No such file or directory",
        lambda p: [
            p.variable("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://127.0.0.1:{gone_port()}/"),
            p.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", p.home / "gone"),
        ],
    ),
    way(
        "ec2-credentials-file",
        "no secret key",
        "AWS_CREDENTIAL_FILE",
        lambda p: p.variable("AWS_CREDENTIAL_FILE", p.write("ec2", "AWSAccessKeyId=AKIATEST\n")),
    ),
    way(
        "boto-config",
        "no secret key",
        "BOTO_CONFIG",
        lambda p: p.variable("BOTO_CONFIG", p.write("boto", "[Credentials]\naws_access_key_id = AKIATEST\n")),
    ),
]


def chain_methods() -> set[str]:
    """Return the providers of botocore's chain, and those that it has besides."""
    resolver = botocore.session.Session().get_component("credential_provider")
    own = vars(botocore.credentials).values()
    kinds = [
        kind
        for kind in own
        if isinstance(kind, type) and issubclass(kind, botocore.credentials.CredentialProvider)
    ]
    return {str(kind.METHOD) for kind in (*resolver.providers, *kinds) if kind.METHOD}


def test_every_provider_of_botocore_has_a_name_a_remedy_and_a_way_to_fail() -> None:
    assert chain_methods() - PROVIDERS.keys() == set()
    tried = {param.values[0].method for param in WAYS}
    assert PROVIDERS.keys() - tried == {"iam-role"}  # which has tests of its own below


@pytest.mark.parametrize("way", WAYS)
def test_failure_stops_the_run_with_its_reason_and_remedy(way: Way, place: Place) -> None:
    if way.method and way.method not in chain_methods():
        pytest.skip(f"this botocore has no {way.method}")
    way.prepare(place)
    with pytest.raises(FatalError, match=way.says) as caught:
        S3Client(SETTINGS, place.services)  # type: ignore[arg-type]
    said = str(caught.value)
    assert not isinstance(caught.value, UsageError)  # exit 3
    assert CANARY not in said
    assert "\n" not in said
    if way.method:
        remedy = PROVIDERS[way.method].remedy
        assert f"from {PROVIDERS[way.method].name} (" in said
        assert remedy[1:] in said and "the same command again" in said
    else:
        assert "Check AWS_PROFILE" in said
    assert not any("bucket" in url for url in place.services.asked)  # nothing was asked of the store


def test_role_that_wants_a_code_asks_nobody_for_it(place: Place) -> None:
    place.profile(
        f"{ROLE}mfa_serial = arn:aws:iam::1:mfa/me\nsource_profile = base", f"[profile base]\n{KEYS}"
    )
    with pytest.raises(FatalError, match=r"wants an MFA code \(mfa_serial\).* Use a role without MFA"):
        S3Client(SETTINGS, place.services)  # type: ignore[arg-type]
    assert place.services.asked == []


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("AWS_ACCESS_KEY_ID", "AKIATEST\n", "the access key ID has a blank, a line break"),
        ("AWS_ACCESS_KEY_ID", "AKIATEST ", "the access key ID has"),
        ("AWS_ACCESS_KEY_ID", "“AKIATEST”", "the access key ID has"),
        ("AWS_SECRET_ACCESS_KEY", f"{CANARY}\n", "the secret access key begins or ends with"),
        ("AWS_SECRET_ACCESS_KEY", f"\xa0{CANARY}", "the secret access key begins or ends with"),
        ("AWS_SESSION_TOKEN", f"{CANARY}\n", "the session token has"),
        ("AWS_SESSION_TOKEN", f"{CANARY}\r\nX-Evil: 1", "the session token has"),
    ],
)
def test_keys_with_what_a_paste_adds_are_named(variable: str, value: str, says: str, place: Place) -> None:
    for name, good in (("AWS_ACCESS_KEY_ID", "AKIATEST"), ("AWS_SECRET_ACCESS_KEY", CANARY)):
        place.variable(name, good)
    place.variable(variable, value)
    with pytest.raises(FatalError, match=says) as caught:
        S3Client(SETTINGS, place.services)  # type: ignore[arg-type]
    assert "from the environment or the settings file" in str(caught.value)
    assert CANARY not in str(caught.value)


def test_secret_may_have_anything_inside(place: Place) -> None:
    place.variable("AWS_ACCESS_KEY_ID", "minio-user")
    place.variable("AWS_SECRET_ACCESS_KEY", "pass phrase, größer")
    with closing(PooledAdapter(1)) as adapter:
        assert "authorization" in Signer("eu-west-1", credentials_of(aws_session(SETTINGS, adapter))).headers(
            "GET", "/", {}, {}
        )


def test_role_without_a_region_of_its_own_is_assumed_in_aws_region(place: Place) -> None:
    refused_role(place)
    with pytest.raises(FatalError):
        S3Client(SETTINGS, place.services)  # type: ignore[arg-type]
    assert {url.rstrip("/") for url in place.services.asked} in (
        {"https://sts.eu-west-1.amazonaws.com"},
        {"https://sts.amazonaws.com"},  # older SDKs
    )


def test_stop_of_our_own_is_not_taken_for_bad_credentials(place: Place) -> None:
    class Stopping:
        def pool(self, url: str) -> None:
            raise FatalError("the TLS certificate of sts.example is not trusted")

    refused_role(place)
    with pytest.raises(FatalError, match=r"^the TLS certificate"):
        S3Client(SETTINGS, Stopping())  # type: ignore[arg-type]


# --- the container's role and the instance's


def test_refusal_of_the_container_s_service_is_shown(place: Place) -> None:
    def refuse(peer: Connection) -> None:
        peer.read_request()
        peer.send(response(403, [("Connection", "close")], b"no role for\n this pod"))

    for url in place.serve(refuse):
        place.variable("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)
        with pytest.raises(
            FatalError, match=r"container's role \(.*403.*no role for this pod\)\. Check the task"
        ):
            S3Client(SETTINGS, place.services)  # type: ignore[arg-type]


def none_found(place: Place) -> str:
    with pytest.raises(FatalError, match="no AWS credentials were found") as caught:
        S3Client(SETTINGS, place.services)  # type: ignore[arg-type]
    return str(caught.value)


def metadata(place: Place, serve: Callable[[Connection], None]) -> Iterator[None]:
    """Let serve be the instance's metadata service."""
    place.monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    for url in place.serve(serve):
        place.variable("AWS_EC2_METADATA_SERVICE_ENDPOINT", url)
        yield


def test_token_that_never_comes_names_the_hop_limit(place: Place) -> None:
    """In a container, the response to PUT is lost on its last hop; IMDSv1 is refused."""

    def lose_the_token(peer: Connection) -> None:
        request = peer.read_request()
        if request is not None and request.method == "PUT":
            peer.stall(5)
        else:
            peer.send(response(401, [("Connection", "close")]))

    for _ in metadata(place, lose_the_token):
        said = none_found(place)
        assert "hop limit of 1" in said and "http-put-response-hop-limit 2" in said


def test_instance_without_a_role_is_named(place: Place) -> None:
    def no_role(peer: Connection) -> None:
        request = peer.read_request()
        is_put = request is not None and request.method == "PUT"
        peer.send(response(200 if is_put else 404, [("Connection", "close")], b"token" if is_put else b""))

    for _ in metadata(place, no_role):
        assert "no role is attached" in none_found(place)


@pytest.mark.parametrize(("vendor", "is_named"), [("Amazon EC2\n", True), ("QEMU\n", False)])
def test_silent_address_is_the_hop_limit_on_ec2_alone(
    vendor: str, is_named: bool, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place.home / "sys_vendor").write_text(vendor)
    monkeypatch.setattr(metadata_service, "_DMI", place.home)

    def time_out(*unused: Any) -> None:
        raise TransientError("timeout", "no complete response within the time limit")

    monkeypatch.setattr(metadata_service, "Connection", time_out)
    place.monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    place.variable("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://127.0.0.1:{gone_port()}")
    assert ("hop limit" in none_found(place)) is is_named


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY"])
def test_metadata_service_is_never_asked_through_a_proxy(variable: str, place: Place) -> None:
    threads: list[str] = []

    def note(peer: Connection) -> None:
        peer.read_request()
        threads.append(threading.current_thread().name)
        peer.send(response(404, [("Connection", "close")]))

    with ProxyServer() as proxy:
        place.variable(variable, proxy.url)
        for _ in metadata(place, note):
            none_found(place)
        assert proxy.log == []
    assert threads
    assert "no_proxy" not in os.environ


def test_file_that_may_not_be_read_is_named(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    path = place.write(".aws/credentials", f"[default]\n{KEYS}")
    path.write_text("")  # what botocore makes of it
    monkeypatch.setattr(os, "access", lambda *unused: False)
    assert f"{path} may not be read by this user" in none_found(place)


# --- on the way


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(2, "No such file or directory", "/var/run/token"),
        json.JSONDecodeError("Expecting value", CANARY, 0),
        AttributeError(CANARY),
        KeyError(CANARY),
        botocore.exceptions.ReadTimeoutError(endpoint_url="https://sts.example/"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_a_renewal_raises_stops_the_run(error: Exception) -> None:
    class Failing:
        method = "assume-role-with-web-identity"

        def get_frozen_credentials(self) -> None:
            raise error

    with pytest.raises(
        FatalError, match=r"could not be renewed from a role by web identity .*Check the token"
    ) as caught:
        Signer("eu-west-1", Failing()).headers("GET", "/", {}, {})
    assert CANARY not in str(caught.value)


# --- the way to the services


def test_services_are_reached_through_the_proxy_of_the_run(place: Place) -> None:
    """botocore itself does not know ALL_PROXY."""
    refused_role(place)
    with ProxyServer() as proxy, closing(PooledAdapter(1)) as adapter:
        place.variable("ALL_PROXY", proxy.url)
        proxy.answers = response(407, [("Connection", "close")])
        with pytest.raises(FatalError, match="wants a user and password: put them into ALL_PROXY"):
            credentials_of(aws_session(SETTINGS, adapter))
    assert proxy.tunnels in (["sts.eu-west-1.amazonaws.com:443"], ["sts.amazonaws.com:443"])  # older SDKs
