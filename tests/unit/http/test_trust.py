"""Authorities: the user's own count besides the public ones, from each place that other programs read them from."""

from __future__ import annotations

import re
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import certifi
import pytest
import trustme

from cdn2s3.errors import FatalError, UsageError
from cdn2s3.http.requests_adapter import PooledAdapter, new_session
from cdn2s3.http.trust import VARIABLES, tls_context
from tests.fakes.source import SourceServer
from tests.fakes.tls import TlsMaterial, bad_certificate, make_tls, server_context


@pytest.fixture
def public(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TlsMaterial:
    """An authority that plays the public ones."""
    folder = tmp_path / "public"
    folder.mkdir()
    made = make_tls(folder)
    monkeypatch.setattr(certifi, "where", lambda: str(made.ca_bundle))
    return made


@pytest.fixture
def private(tmp_path: Path) -> TlsMaterial:
    folder = tmp_path / "private"
    folder.mkdir()
    return make_tls(folder)


@pytest.fixture
def urls(public: TlsMaterial, private: TlsMaterial) -> Iterator[list[str]]:
    """A server with a certificate of the public authority, and one with a private one."""
    with SourceServer(tls=public.context) as theirs, SourceServer(tls=private.context) as ours:
        yield [theirs.url_of("a.jpg"), ours.url_of("a.jpg")]


def statuses(urls: list[str], ca_bundle: Path | None = None) -> list[int]:
    with closing(PooledAdapter(1, ca_bundle)) as adapter, new_session(adapter) as session:
        return [session.get(url, timeout=5).status_code for url in urls]


def test_private_store_and_public_cdn_are_both_trusted(urls: list[str], private: TlsMaterial) -> None:
    assert statuses(urls, private.ca_bundle) == [200, 200]


@pytest.mark.parametrize("name", VARIABLES)
def test_bundle_of_each_variable_counts(
    name: str, urls: list[str], private: TlsMaterial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, str(private.ca_bundle))
    assert statuses(urls) == [200, 200]


@pytest.mark.parametrize(
    ("file", "profile", "counts"),
    [
        ("[default]\nca_bundle = {path}\n", "", True),
        ("[profile store]\nca_bundle = {path}\n", "store", True),
        ("[default]\nregion = x\n[profile store]\nca_bundle = {path}\n", "", False),
        ("[default]\nca_bundle = {path}\n", "gone", False),  # the SDK names it
        ("ca_bundle = {path}\n[[", "", False),
    ],
)
def test_bundle_of_the_aws_profile_counts(
    file: str,
    profile: str,
    counts: bool,
    tmp_path: Path,
    urls: list[str],
    private: TlsMaterial,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = tmp_path / "config"
    config.write_text(file.format(path=private.ca_bundle))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.delenv("AWS_DEFAULT_PROFILE", raising=False)
    monkeypatch.setenv("AWS_PROFILE", profile) if profile else monkeypatch.delenv(
        "AWS_PROFILE", raising=False
    )
    assert statuses(urls[:1]) == [200]  # besides the public ones
    if counts:
        assert statuses(urls[1:]) == [200]
    else:
        with pytest.raises(FatalError, match="is not trusted"):
            statuses(urls[1:])


def test_bundle_of_the_aws_profile_that_cannot_be_used_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config"
    config.write_text("[default]\nca_bundle = /no/such/bundle.pem\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with pytest.raises(
        UsageError, match=r"^ca_bundle of the AWS profile='/no/such/bundle\.pem': cannot be read"
    ):
        tls_context(None)


def test_bundles_of_several_places_add_up(
    tmp_path: Path, urls: list[str], private: TlsMaterial, monkeypatch: pytest.MonkeyPatch
) -> None:
    another = tmp_path / "another"
    another.mkdir()
    monkeypatch.setenv("SSL_CERT_FILE", str(private.ca_bundle))
    assert statuses(urls, make_tls(another).ca_bundle) == [200, 200]


def test_without_a_bundle_the_public_authorities_alone_count(urls: list[str]) -> None:
    assert statuses(urls[:1]) == [200]
    with pytest.raises(FatalError, match="CA_BUNDLE"):
        statuses(urls[1:])


def served_with(certificate: Path) -> str:
    """Return what is said of a server with that certificate, by one who trusts the authority of the tests."""
    tls = server_context(certificate)
    with SourceServer(tls=tls) as server, pytest.raises(FatalError, match="not trusted") as caught:
        statuses([server.url_of("a.jpg")])
    return str(caught.value)


@pytest.mark.parametrize(
    ("made", "says", "remedy"),
    [
        ("expired", "certificate has expired", "the certificate's owner must renew it"),
        ("early", "certificate is not yet valid", "Is this machine's clock right"),
        ("host", "Hostname mismatch|IP address mismatch", "correct the host's name in the settings"),
        ("stranger", "unable to get local issuer certificate", "set CA_BUNDLE to its PEM file"),
        ("chain", "unable to get local issuer certificate", "leaves out a certificate of its chain"),
        ("self", "self-signed certificate", "set CA_BUNDLE to its PEM file"),
    ],
)
def test_what_is_wrong_with_a_certificate_is_said_with_its_own_remedy(
    made: str, says: str, remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setattr(certifi, "where", lambda: str(tmp_path / "ca.pem"))
    said = served_with(bad_certificate(tmp_path / "bad.pem", made, authority))
    assert re.search(rf"is not trusted \(({says})[^)]*(?<!\.)\)\. ", said), said
    assert remedy in said
    assert ("CA_BUNDLE" in said) is (made in ("stranger", "chain", "self"))


def test_folder_with_hashed_names_counts(
    tmp_path: Path, urls: list[str], private: TlsMaterial, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["openssl", "x509", "-hash", "-noout", "-in", str(private.ca_bundle)]
    try:
        digest = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except FileNotFoundError:
        pytest.skip("there is no openssl command")
    folder = tmp_path / "certs"
    folder.mkdir()
    (folder / f"{digest}.0").write_bytes(private.ca_bundle.read_bytes())
    monkeypatch.setenv("AWS_CA_BUNDLE", str(folder))
    assert statuses(urls) == [200, 200]


@pytest.mark.parametrize("name", VARIABLES)
@pytest.mark.parametrize(
    ("content", "why"),
    [
        pytest.param(None, "cannot be read: No such file", id="not there"),
        pytest.param(b"", "no certificates in PEM form", id="empty"),
        pytest.param(b"secret-canary", "no certificates in PEM form", id="no PEM"),
        pytest.param(
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "no certificates", id="damaged"
        ),
        pytest.param("folder", "openssl rehash", id="folder without hashed names"),
    ],
)
def test_bundle_that_cannot_be_used_is_named(
    name: str, content: bytes | str | None, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bundle.pem"
    if content == "folder":
        path.mkdir()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    monkeypatch.setenv(name, str(path))
    with pytest.raises(UsageError, match=why) as caught:
        tls_context(None)
    assert str(caught.value).startswith(f"{name}='{path}'")
    assert "canary" not in str(caught.value)


def test_setting_that_is_damaged_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bundle.pem"
    path.write_bytes(b"no certificate")
    with pytest.raises(UsageError, match=r"^CA_BUNDLE="):
        tls_context(str(path))


def test_names_and_certificates_are_verified_whatever_is_added(private: TlsMaterial) -> None:
    context = tls_context(str(private.ca_bundle))
    assert context.verify_mode is ssl.CERT_REQUIRED and context.check_hostname
