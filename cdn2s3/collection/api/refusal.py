"""What a response other than a page means: worth another attempt, a wait, or the end; in words for people. Pure."""

from __future__ import annotations

import re
import time
from http import HTTPStatus
from urllib.parse import urljoin, urlsplit

import requests

from cdn2s3.collection.api.auth import Auth
from cdn2s3.errors import FatalError, TransientError
from cdn2s3.resilience.retry import retry_after
from cdn2s3.text import redact

_SHOWN = 80  # characters to show of a response that is not a page of URLs
_READ = 1 << 16  # bytes of it to read for them
_TRY_AGAIN = {
    408: "timeout",
    425: "server_error",
    503: "throttled",
}  # besides 5xx; throttling has its own rule


def refusal(answer: requests.Response, url: str, page: str, auth: Auth) -> TransientError | FatalError:
    """Return what a response other than 200 means for the collection; url is the one asked for, without secrets."""
    status = answer.status_code
    if status in _TRY_AGAIN or status >= 500:
        asked = retry_after(answer.headers.get("retry-after"), time.time())
        return TransientError(
            _TRY_AGAIN.get(status, "server_error"), f"the API answered {named(status)}", asked, status
        )
    words = (
        one_line(answer.content, auth) if status >= 400 else ""
    )  # the body of a redirect contains its address
    return FatalError(
        f"the API answered {named(status)} to {page} ({redact(url)}){_remedy(answer, url, auth)}"
        + (f" The API's response begins: {words}" if words else "")
    )


def _remedy(answer: requests.Response, url: str, auth: Auth) -> str:
    """Return what a refusal may mean and what to correct, as the end of a sentence."""
    status = answer.status_code
    if status in (401, 403) and not auth.has_token:
        return (
            f": API_AUTH_TOKEN is empty, and the API {'wants' if status == 401 else 'may want'} a token. "
            "Set it (and API_AUTH_HEADER and API_AUTH_SCHEME for how it is sent)."
            + (
                ""
                if status == 401
                else " Or it wants a header, such as API_HEADERS=User-Agent: you@example.com."
            )
        )
    if status in (401, 403) and auth.is_renewable:
        return (
            ": it does not accept the token that API_TOKEN_COMMAND prints. Run that command by hand, and correct it "
            "(or API_AUTH_HEADER and API_AUTH_SCHEME for how the token is sent)."
        )
    if status in (401, 403):
        return (
            ": it does not accept the token. Correct API_AUTH_TOKEN (and API_AUTH_HEADER and "
            "API_AUTH_SCHEME for how it is sent). A token that lives only an hour needs API_TOKEN_COMMAND."
        )
    if 300 <= status < 400:
        return (
            f", a redirect to {_origin_of_redirect(answer, url)}. Redirects are not followed, because "
            "the token would be sent along. Set API_BASE_URL to the final address."
        )
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        return (
            f": it does not take {answer.request.method} there"
            f"{_allowed(answer)}. Set API_METHOD, and for POST API_BODY (docs/api-integration.md, POST and templates)."
        )
    return (
        f". Correct API_BASE_URL and the pagination settings. If the API answers {status} after its last page, set "
        f"API_END_STATUS={status}."
    )


def _allowed(answer: requests.Response) -> str:
    """Return what a 405 says to be allowed (RFC 9110, 15.5.6), as part of a sentence."""
    methods = re.findall("[A-Z]+", answer.headers.get("allow", ""))[:6]
    return f", but {', '.join(methods)}" if methods else ""


def _origin_of_redirect(answer: requests.Response, url: str) -> str:
    """Return where a redirect leads, without the path and query, which may hold a secret."""
    try:
        parts = urlsplit(urljoin(url, answer.headers.get("location", "")))
        return f"{parts.scheme}://{parts.hostname}"
    except ValueError:
        return "an address that isn't a URL"


def beginning(content: bytes, auth: Auth) -> str:
    """Return how content, which is not JSON, begins, and what it may be; without a secret, if it contains one."""
    text = one_line(content, auth)
    return f"{': a login page? It' if text.startswith('<') else ': it'} begins with {text}" if text else ""


def one_line(content: bytes, auth: Auth) -> str:
    """Return the beginning of content as one short line, without a secret, if it contains one."""
    text = " ".join(content[:_READ].decode("utf-8", "replace").split())
    for hidden in sorted(auth.secrets(), key=len, reverse=True):
        text = text.replace(hidden, "***")
    text = redact(text)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def named(status: int) -> str:
    """Return a status with its phrase: 404 Not Found."""
    return f"{status} {HTTPStatus(status).phrase}" if status in HTTPStatus._value2member_map_ else str(status)
