"""The signing of S3 requests: AWS Signature Version 4, in headers, with the credentials of the shared boto3 client.

The rules are those of the S3 API Reference, "Authenticating Requests: Using the Authorization Header"; a test
compares the result with botocore's own signer. Here it costs 15 µs a request: the day's signing key is kept.
The body is not part of the signature (UNSIGNED-PAYLOAD), but its Content-MD5 or CRC is; where a policy forbids that
(condition key s3:x-amz-content-sha256), its SHA-256 is.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple
from urllib.parse import quote

import botocore.exceptions

from cdn2s3.errors import FatalError
from cdn2s3.http.connection import Buffer

UNSIGNED = "UNSIGNED-PAYLOAD"
NO_BODY = sha256(b"").hexdigest()
NO_CREDENTIALS = (
    "no AWS credentials were found. On EC2 attach an instance role; elsewhere run `aws configure`, or set "
    "AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
)


class _SigningKey(NamedTuple):
    """What changes once a day or when the credentials are renewed."""

    date: str  # YYYYMMDD
    secret: str
    key: bytes


class Signer:
    """Sign requests for one region; shared by all threads."""

    def __init__(self, region: str, credentials: Any) -> None:
        """credentials are botocore's, which renew themselves; None when none were found."""
        if credentials is None:
            raise FatalError(NO_CREDENTIALS)
        self._region = region
        self._credentials = credentials
        self._signing_key = _SigningKey("", "", b"")

    def headers(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        payload: str = NO_BODY,
    ) -> dict[str, str]:
        """Return headers with the date, the body's hash, the session token and the signature added.

        path is percent-encoded as sent; query holds decoded names and values; headers have names in lower
        case, `host` among them, and all of them are signed. payload is the SHA-256 of the body in hex, or UNSIGNED.
        Raise FatalError when the credentials cannot be renewed.
        """
        credentials = self._frozen()
        now = time.gmtime()
        timestamp = time.strftime("%Y%m%dT%H%M%SZ", now)
        signed = {**headers, "x-amz-content-sha256": payload, "x-amz-date": timestamp}
        if credentials.token:
            signed["x-amz-security-token"] = credentials.token
        names = sorted(signed)
        signed_names = ";".join(names)
        canonical = "\n".join((
            method,
            path,
            query_string(query),
            *(f"{name}:{' '.join(signed[name].split())}" for name in names),
            "",
            signed_names,
            payload,
        ))  # fmt: skip
        scope = f"{timestamp[:8]}/{self._region}/s3/aws4_request"
        to_sign = f"AWS4-HMAC-SHA256\n{timestamp}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
        key = self._key(timestamp[:8], credentials.secret_key)
        signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
        signed["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, "
            f"SignedHeaders={signed_names}, Signature={signature}"
        )
        return signed

    def _frozen(self) -> Any:
        """Return the credentials of this moment; botocore renews them under a lock of its own when due."""
        try:
            return self._credentials.get_frozen_credentials()
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError, RuntimeError) as error:
            raise not_renewed(error) from error

    def _key(self, date: str, secret: str) -> bytes:
        cached = self._signing_key
        if cached.date == date and cached.secret == secret:
            return cached.key
        key = b"AWS4" + secret.encode()
        for part in (date, self._region, "s3", "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        self._signing_key = _SigningKey(date, secret, key)
        return key


def not_renewed(error: Exception) -> FatalError:
    """Return what an error of the credentials service means; its text may contain secrets."""
    return FatalError(
        f"the AWS credentials could not be renewed ({type(error).__name__}). Check the instance role "
        "or the profile, then run the same command again (a migration resumes)."
    )


def payload_hash(pieces: Sequence[Buffer]) -> str:
    """Return the SHA-256 in hex of a body in pieces."""
    digest = sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def quoted_key(key: str) -> str:
    """Return key as it appears in a request's path."""
    return quote(key, safe="/-_.~")


def query_string(query: Mapping[str, str]) -> str:
    """Return a query in the order and encoding that the signature requires."""
    pairs = sorted((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in query.items())
    return "&".join(f"{name}={value}" for name, value in pairs)
