"""Which certificate authorities are trusted: the public ones, and those of the user's own bundles besides.

A company's proxy or a private store has an authority of its own, and the CDN a public one: a bundle that replaced the
public authorities would serve one of them only.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path

import certifi

from cdn2s3.errors import UsageError

# What other programs read a bundle from: the AWS CLI, requests, curl and requests, OpenSSL.
VARIABLES = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
OF_THE_PROFILE = "ca_bundle of the AWS profile"
_HASHED = re.compile(
    r"[0-9a-f]{8}\.\d+"
)  # a certificate's name in a folder that OpenSSL reads (openssl-rehash(1))


def tls_context(ca_bundle: str | None) -> ssl.SSLContext:
    """Return the one TLS context of a run: certificates and names are always verified.

    ca_bundle is a PEM file, the setting CA_BUNDLE; None for none. Raise UsageError for a bundle that cannot be used.
    """
    context = ssl.create_default_context(cafile=certifi.where())
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    for name, path in _bundles(ca_bundle, os.environ):
        _trust(context, name, path)
    return context


def _bundles(ca_bundle: str | None, environment: Mapping[str, str]) -> Iterator[tuple[str, Path]]:
    """Yield each bundle once, with the name of the setting or variable that it comes from."""
    seen = {os.path.realpath(certifi.where())}
    places = [("CA_BUNDLE", ca_bundle), *((name, environment.get(name)) for name in VARIABLES)]
    places.append((OF_THE_PROFILE, _of_the_profile(environment)))
    for name, value in places:
        if value and os.path.realpath(value) not in seen:
            seen.add(os.path.realpath(value))
            yield name, Path(value)


def _of_the_profile(environment: Mapping[str, str]) -> str | None:
    """Return ca_bundle of the AWS profile in use, None if it has none.

    What the SDK cannot read, it names itself where it is needed: collecting needs no AWS configuration.
    """
    path = Path(environment.get("AWS_CONFIG_FILE") or "~/.aws/config").expanduser()
    try:
        if b"ca_bundle" not in path.read_bytes():
            return None
    except OSError:
        return None
    from botocore.exceptions import BotoCoreError  # 0.1 s, which collecting does without
    from botocore.session import Session

    try:
        value = Session().get_scoped_config().get("ca_bundle")
    except (BotoCoreError, ValueError):  # ValueError: not UTF-8
        return None
    return os.path.expanduser(value) if isinstance(value, str) else None  # noqa: PTH111  # as it is shown


def _trust(context: ssl.SSLContext, name: str, path: Path) -> None:
    """Add the authorities of a file, or of a folder as OpenSSL reads it, to context."""
    try:
        if path.is_dir():
            if not any(_HASHED.fullmatch(entry.name) for entry in path.iterdir()):
                raise UsageError(
                    f"{name}={str(path)!r}: is a folder without certificates under the names that OpenSSL looks for. "
                    f"Run `openssl rehash {path}`, or set {name} to a PEM file."
                )
            context.load_verify_locations(capath=path)
        else:
            context.load_verify_locations(cafile=path)
    except ssl.SSLError as error:  # an OSError too
        raise UsageError(
            f"{name}={str(path)!r}: has no certificates in PEM form ({error.reason or 'unreadable'}). Set it to a "
            "PEM file of certificate authorities (-----BEGIN CERTIFICATE-----), or leave it empty."
        ) from error
    except OSError as error:
        raise UsageError(
            f"{name}={str(path)!r}: cannot be read: {error.strerror or error}. Correct the path, or leave it empty."
        ) from error
