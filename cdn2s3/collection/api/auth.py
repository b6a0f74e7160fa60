"""What shows the API who asks: a token in a header or in the query, further headers, a key in API_BASE_URL.

They are put on the requests themselves, as they are sent: before that a URL has `***` in place of each secret, so no
position, checkpoint or log can hold one. They go to API_BASE_URL's origin alone.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from urllib.parse import quote, unquote_plus, urlsplit

import requests
from requests.auth import AuthBase

from cdn2s3.collection.api.token_command import token_of
from cdn2s3.settings.collection_settings import CollectionSettings

HIDDEN = "***"  # what stands for a secret in a URL

_NAMES_A_SECRET = re.compile("key|token|secret|sig|pass|auth|session|credential|client_id", re.IGNORECASE)
_SURELY_A_SECRET = 8  # characters of a value that is the token from which on it is no coincidence
_SHORTEST_SECRET = 4  # characters of a query's value that is blotted out of what the API says


class Auth(AuthBase):
    """The API's credentials, which a session puts on each of its requests; used by one thread."""

    def __init__(self, settings: CollectionSettings) -> None:
        """Run API_TOKEN_COMMAND, if there is one; raise FatalError when it gives no token."""
        self._header = settings.api_auth_header
        self._scheme = settings.api_auth_scheme
        self._param = settings.api_auth_param
        self._others = [value for _, value in settings.api_headers.pairs]
        self._base_pairs = {**_by_name(settings.api_detail_url), **_by_name(settings.api_base_url or "")}
        self._command = settings.api_token_command.reveal()
        self._token = (
            token_of(self._command, self._scheme) if self._command else settings.api_auth_token.reveal()
        )

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Put the secrets into a request that is about to be sent."""
        if request.url:
            request.prepare_url(self.revealed(request.url), None)
        if self._token and not self._param:
            request.headers[self._header] = self._header_value()
        return request

    @property
    def is_renewable(self) -> bool:
        return bool(self._command)

    @property
    def has_token(self) -> bool:
        return bool(self._token)

    def renew(self) -> bool:
        """Run API_TOKEN_COMMAND again; return whether it gives another token. Raise FatalError when it fails."""
        if not self._command:
            return False
        before, self._token = self._token, token_of(self._command, self._scheme)
        return self._token != before

    def _header_value(self) -> str:
        if self._scheme.lower() == "basic" and ":" in self._token:  # base64 has no colon: user:password
            words = (self._scheme, base64.b64encode(self._token.encode()).decode())
        else:
            words = (self._scheme, self._token)
        return " ".join(word for word in words if word)

    def revealed(self, url: str) -> str:
        """Return url as it is sent: with each secret in its place."""
        parts = urlsplit(url)
        pairs = [self._revealed_pair(pair) for pair in parts.query.split("&") if pair]
        if self._param and self._token and self._param not in map(_name_in, pairs):
            pairs.append(f"{quote(self._param, safe='[]')}={quote(self._token, safe='')}")
        return parts._replace(query="&".join(pairs)).geturl()

    def hidden(self, url: str) -> str:
        """Return url with *** for what is secret in its query: the token, and values that API_BASE_URL has."""
        parts = urlsplit(url)
        pairs = [
            pair if self._is_open(pair) else f"{pair.partition('=')[0]}={HIDDEN}"
            for pair in parts.query.split("&")
        ]
        return parts._replace(query="&".join(pairs)).geturl()

    def secrets(self) -> Iterator[str]:
        """Yield each text that nobody may see, in each form that the API may quote."""
        values = [self._token, *self._others]
        values += [
            unquote_plus(value)
            for name, value in self._base_pairs.items()
            if _NAMES_A_SECRET.search(name) and len(value) >= _SHORTEST_SECRET
        ]
        if ":" in self._token:
            values += [base64.b64encode(self._token.encode()).decode(), self._token.partition(":")[2]]
        for value in filter(None, values):
            yield from {value, quote(value, safe=""), quote(value)}

    def _revealed_pair(self, pair: str) -> str:
        name, _, value = pair.partition("=")
        if value != HIDDEN:
            return pair
        plain = _name_in(pair)
        if plain in self._base_pairs and plain != self._param:
            return f"{name}={self._base_pairs[plain]}"
        return f"{name}={quote(self._token, safe='')}"

    def _is_open(self, pair: str) -> bool:
        name, value = _name_in(pair), unquote_plus(pair.partition("=")[2])
        if not value:
            return True
        of_base = self._base_pairs.get(name)
        if of_base is not None and unquote_plus(of_base) == value:
            return False
        is_token = len(value) >= _SURELY_A_SECRET or name == self._param or _NAMES_A_SECRET.search(name)
        return value != self._token or not is_token


def _name_in(pair: str) -> str:
    return unquote_plus(pair.partition("=")[0])


def _by_name(url: str) -> dict[str, str]:
    """Return the values in the query of url by their names, as written there; without names that stand twice."""
    pairs = [pair for pair in urlsplit(url).query.split("&") if pair]
    names = [_name_in(pair) for pair in pairs]
    return {name: pair.partition("=")[2] for name, pair in zip(names, pairs) if names.count(name) == 1}
