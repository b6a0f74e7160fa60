"""Signature Version 4, the server's side: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import datetime, timezone
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

from tests.fakes.s3_errors import S3Error
from tests.fakes.wire import Request

MAX_SKEW = 900  # seconds between x-amz-date and the server's clock
MAX_EXPIRES = 604800  # seconds, the longest life of a presigned URL
_SCHEME = "AWS4-HMAC-SHA256"
_STREAMING = ("UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")
_HEADER_FORM = re.compile(
    rf"{_SCHEME}\s+Credential=(?P<credential>[^,\s]+),\s*SignedHeaders=(?P<names>[^,\s]+),\s*Signature=(?P<signature>[0-9a-f]{{64}})"
)


class Keys(NamedTuple):
    """Who may call, and where."""

    secrets: Mapping[str, str]  # access key -> secret key
    tokens: Mapping[str, str]  # access key -> session token, for temporary credentials only
    region: str  # the only region that a scope may name


class _Claim(NamedTuple):
    """What a request says about its own signature."""

    credential: str  # access key/date/region/service/aws4_request
    names: tuple[str, ...]  # signed header names, lower case
    signature: str  # 64 hex digits
    date: str  # 20241126T101500Z
    payload: str  # hash of the body, or one of the literal words
    expires: int | None  # seconds; None in the header form


def verify(request: Request, keys: Keys, now: float) -> str:
    """Check the signature and return the access key. `now` is Unix time. Raises S3Error with S3's code."""
    query = request.query
    names = {name for name, _ in query}
    if "authorization" in request.headers:
        if "X-Amz-Signature" in names:
            raise S3Error("InvalidArgument", "Only one auth mechanism allowed")
        claim = _from_header(request)
    elif "X-Amz-Signature" in names or "X-Amz-Algorithm" in names:
        claim = _from_query(request, dict(query))
    elif "Signature" in names:
        raise S3Error("InvalidRequest", _ONLY_V4)
    else:
        raise S3Error("AccessDenied", "Access Denied: anonymous request")
    access, day, region, service, end = _scope(claim.credential)
    secret = _secret(request, access, keys, dict(query))
    if (service, end) != ("s3", "aws4_request") or day != claim.date[:8]:
        raise S3Error("AuthorizationHeaderMalformed", "The authorization header's scope is malformed")
    if region != keys.region:
        message = f"The authorization header is malformed; '{region}' is wrong; expecting '{keys.region}'"
        raise S3Error("AuthorizationHeaderMalformed", message, Region=keys.region)
    _check_time(claim, now)
    _check_names(request, claim)
    scope = f"{day}/{region}/s3/aws4_request"
    canonical = _canonical(request, claim, query)
    text = f"{_SCHEME}\n{claim.date}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    expected = hmac.new(_signing_key(secret, day, region), text.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, claim.signature):
        raise S3Error("SignatureDoesNotMatch", StringToSign=text, CanonicalRequest=canonical)
    return access


_ONLY_V4 = "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256."


def _from_header(request: Request) -> _Claim:
    value = request.headers["authorization"]
    if not value.startswith(_SCHEME):
        raise S3Error("InvalidRequest", _ONLY_V4)
    found = _HEADER_FORM.fullmatch(value)
    if found is None:
        raise S3Error("AuthorizationHeaderMalformed", "The authorization header is malformed")
    date = request.headers.get("x-amz-date", "")
    if not date:
        raise S3Error("AccessDenied", "AWS authentication requires a valid Date or x-amz-date header")
    payload = request.headers.get("x-amz-content-sha256", "")
    if not payload:
        raise S3Error("InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
    if payload not in _STREAMING and not re.fullmatch("[0-9a-f]{64}", payload):
        if payload.startswith("STREAMING-"):
            raise S3Error("NotImplemented", f"{payload} is not implemented here")
        raise S3Error(
            "InvalidArgument", "x-amz-content-sha256 must be UNSIGNED-PAYLOAD or a valid sha256 value."
        )
    return _Claim(
        found["credential"], tuple(found["names"].split(";")), found["signature"], date, payload, None
    )


def _from_query(request: Request, query: Mapping[str, str]) -> _Claim:
    try:
        expires = int(query["X-Amz-Expires"])
        names = tuple(query["X-Amz-SignedHeaders"].split(";"))
        if query["X-Amz-Algorithm"] != _SCHEME or not 0 < expires <= MAX_EXPIRES:
            raise ValueError("algorithm or lifetime")
        payload = request.headers.get("x-amz-content-sha256", "UNSIGNED-PAYLOAD")
        signature, date = query["X-Amz-Signature"], query["X-Amz-Date"]
        return _Claim(query["X-Amz-Credential"], names, signature, date, payload, expires)
    except (KeyError, ValueError) as exc:
        raise S3Error("AuthorizationQueryParametersError", f"Query-string authentication: {exc}") from exc


def _scope(credential: str) -> tuple[str, str, str, str, str]:
    parts = credential.rsplit("/", 4)
    if len(parts) != 5:
        raise S3Error("AuthorizationHeaderMalformed", "The Credential is mal-formed")
    return parts[0], parts[1], parts[2], parts[3], parts[4]


def _secret(request: Request, access: str, keys: Keys, query: Mapping[str, str]) -> str:
    if access not in keys.secrets:
        raise S3Error("InvalidAccessKeyId", AWSAccessKeyId=access)
    token = request.headers.get("x-amz-security-token", query.get("X-Amz-Security-Token"))
    if access in keys.tokens and token is None:
        raise S3Error(
            "InvalidAccessKeyId", AWSAccessKeyId=access
        )  # a temporary key does not exist without its token
    if token is not None and token != keys.tokens.get(access):
        raise S3Error("InvalidToken")
    return keys.secrets[access]


def _check_time(claim: _Claim, now: float) -> None:
    try:
        signed = datetime.strptime(claim.date, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc).timestamp()
    except ValueError as exc:
        raise S3Error(
            "AccessDenied", "AWS authentication requires a valid Date or x-amz-date header"
        ) from exc
    if claim.expires is not None and now > signed + claim.expires:
        raise S3Error("AccessDenied", "Request has expired")
    if (claim.expires is None and now - signed > MAX_SKEW) or signed - now > MAX_SKEW:
        raise S3Error("RequestTimeTooSkewed", MaxAllowedSkewMilliseconds=str(MAX_SKEW * 1000))


def _check_names(request: Request, claim: _Claim) -> None:
    """Every signed header must be there, in order; the host and every x-amz-* header must be signed."""
    missing = [name for name in claim.names if name not in request.headers]
    if missing:
        raise S3Error("SignatureDoesNotMatch", f"signed headers that did not arrive: {', '.join(missing)}")
    if list(claim.names) != sorted(claim.names) or "host" not in claim.names:
        raise S3Error("AuthorizationHeaderMalformed", "SignedHeaders must be sorted and hold the host")
    loose = [name for name in request.headers if name.startswith("x-amz-") and name not in claim.names]
    if loose:
        message = "There were headers present in the request which were not signed"
        raise S3Error("AccessDenied", message, HeadersNotSigned=", ".join(loose))


def _canonical(request: Request, claim: _Claim, query: list[tuple[str, str]]) -> str:
    # S3 decodes the path and encodes it its own way, so a client that signs another spelling is refused.
    path = quote(unquote_to_bytes(request.path), safe="/-_.~")
    pairs = sorted((quote(n, safe="-_.~"), quote(v, safe="-_.~")) for n, v in query if n != "X-Amz-Signature")
    headers = "".join(f"{name}:{' '.join(request.headers[name].split())}\n" for name in claim.names)
    text = "&".join(f"{name}={value}" for name, value in pairs)
    return f"{request.method}\n{path}\n{text}\n{headers}\n{';'.join(claim.names)}\n{claim.payload}"


@lru_cache(maxsize=64)
def _signing_key(secret: str, day: str, region: str) -> bytes:
    key = b"AWS4" + secret.encode()
    for part in (day, region, "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key
