"""Our signature is botocore's own, for any key, query, header and token."""

from __future__ import annotations

import calendar
import hashlib
import time
from typing import Any
from urllib.parse import unquote

import botocore.auth
import botocore.exceptions
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from cdn2s3.destinations.s3 import signing
from cdn2s3.destinations.s3.signing import (
    NO_BODY,
    UNSIGNED,
    Signer,
    payload_hash,
    query_string,
    quoted_key,
)
from cdn2s3.errors import FatalError
from tests.properties import examples

NOW = calendar.timegm((2026, 11, 20, 23, 59, 58))
STAMP = "20261120T235958Z"


class Declared(S3SigV4Auth):
    """botocore's signer with a given hash of the body."""

    def payload(self, request: Any) -> str:
        return str(request.context["payload"])


def botocores(
    method: str, path: str, query: dict[str, str], headers: dict[str, str], token: str | None, payload: str
) -> str:
    """Return the Authorization header that botocore gives a request."""
    url = f"https://{headers['host']}{path}"
    request = AWSRequest(method, url, headers={k: v for k, v in headers.items() if k != "host"}, params=query)
    request.context.update(timestamp=STAMP, payload=payload)
    signer = Declared(Credentials("AKIATEST", "secret/+", token), "s3", "eu-west-1")
    signer.add_auth(request)
    return str(request.headers["Authorization"])


@pytest.fixture(autouse=True)
def fixed_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    def gmtime(seconds: float | None = None) -> time.struct_time:
        return _gmtime(NOW if seconds is None else seconds)

    _gmtime = time.gmtime
    monkeypatch.setattr(signing.time, "gmtime", gmtime)
    if hasattr(botocore.auth, "get_current_datetime"):  # botocore below 1.42 asks datetime itself
        import datetime

        moment = datetime.datetime.fromtimestamp(NOW, datetime.timezone.utc)
        monkeypatch.setattr(
            botocore.auth, "get_current_datetime", lambda remove_tzinfo=True: moment.replace(tzinfo=None)
        )
    else:
        import datetime

        class Fixed(datetime.datetime):
            @classmethod
            def utcnow(cls) -> datetime.datetime:
                return datetime.datetime(2026, 11, 20, 23, 59, 58)

        monkeypatch.setattr(botocore.auth.datetime, "datetime", Fixed)


_NAMES = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=12).map("x-amz-meta-{}".format)
_VALUES = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=30)
_SPACED = st.lists(_VALUES, min_size=1, max_size=3).flatmap(
    lambda words: st.sampled_from([" ", "  ", "   "]).map(lambda blank: blank.join(words))
)
_KEYS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=40)


@examples(300)
@given(
    st.sampled_from(["GET", "PUT", "HEAD", "DELETE", "POST"]),
    _KEYS,
    st.dictionaries(_KEYS, st.text(st.characters(exclude_categories=("Cs",)), max_size=20), max_size=4),
    st.dictionaries(_NAMES, _SPACED, max_size=4),
    st.sampled_from([None, "token/+="]),
    st.sampled_from([UNSIGNED, NO_BODY, payload_hash((b"a", memoryview(b"body")))]),
)
def test_signature_is_botocores(
    method: str, key: str, query: dict[str, str], extra: dict[str, str], token: str | None, payload: str
) -> None:
    headers = {"host": "bucket.s3.eu-west-1.amazonaws.com", "content-type": "image/jpeg", **extra}
    path = "/" + quoted_key(key)
    ours = Signer("eu-west-1", Credentials("AKIATEST", "secret/+", token)).headers(
        method, path, query, headers, payload
    )
    assert ours["x-amz-date"] == STAMP
    assert ours["x-amz-content-sha256"] == payload
    assert ours["authorization"] == botocores(method, path, query, headers, token, payload)
    assert ours.get("x-amz-security-token") == token
    assert {name: ours[name] for name in headers} == headers


@examples(200)
@given(_KEYS)
def test_quoted_key_is_ascii_and_says_the_key(key: str) -> None:
    quoted = quoted_key(key)
    assert quoted.isascii() and "?" not in quoted and "#" not in quoted and " " not in quoted
    assert unquote(quoted) == key


def test_query_is_in_the_order_of_its_encoded_names() -> None:
    assert (
        query_string({"b": "1", "a-": "2", "a": "ä &", "~": "", "é": "x"})
        == "%C3%A9=x&a=%C3%A4%20%26&a-=2&b=1&~="
    )


def test_signing_key_follows_the_day_and_the_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    class Renewed:
        secret = "one"

        def get_frozen_credentials(self) -> Any:
            return Credentials("AKIATEST", self.secret).get_frozen_credentials()

    credentials = Renewed()
    signer = Signer("us-west-2", credentials)

    def authorization() -> str:
        return signer.headers("GET", "/k", {}, {"host": "h"})["authorization"]

    first = authorization()
    assert authorization() == first
    credentials.secret = "two"
    second = authorization()
    day_later = time.gmtime(NOW + 86400)
    monkeypatch.setattr(signing.time, "gmtime", lambda: day_later)
    third = authorization()
    assert "/20261121/us-west-2/s3/aws4_request" in third
    fresh = Signer("us-west-2", Credentials("AKIATEST", "two"))
    assert third == fresh.headers("GET", "/k", {}, {"host": "h"})["authorization"]
    assert len({first, second, third}) == 3


def test_hash_of_a_body_in_pieces() -> None:
    assert payload_hash((b"a", memoryview(b"body"))) == hashlib.sha256(b"abody").hexdigest()
    assert payload_hash(()) == NO_BODY


def test_no_credentials_stop_the_run() -> None:
    with pytest.raises(FatalError, match="no AWS credentials"):
        Signer("us-west-2", None)


RENEWALS = [
    botocore.exceptions.CredentialRetrievalError(provider="iam", error_msg="canary"),
    botocore.exceptions.ClientError({"Error": {"Code": "AccessDenied", "Message": "canary"}}, "AssumeRole"),
    RuntimeError("Credentials were refreshed, but the refreshed credentials are still expired."),
]


@pytest.mark.parametrize("error", RENEWALS, ids=lambda error: type(error).__name__)
def test_credentials_that_cannot_be_renewed_stop_the_run(error: Exception) -> None:
    class Broken:
        def get_frozen_credentials(self) -> Any:
            raise error

    with pytest.raises(FatalError, match="could not be renewed") as caught:
        Signer("us-west-2", Broken()).headers("GET", "/k", {}, {"host": "h"})
    assert "canary" not in str(caught.value)
