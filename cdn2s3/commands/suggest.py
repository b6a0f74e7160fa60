"""collect_urls.py --suggest: read one page of an API, or the head of an export, and propose settings for it.

It writes no file: the lines go to standard output. Besides the page it asks for a few more, with one parameter
changed, to see how the API pages.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import requests

from cdn2s3.collection.api.client import api_session
from cdn2s3.collection.suggest import api_lines, export_lines
from cdn2s3.collection.suggest.probing import Ask, Seen
from cdn2s3.collection.suggest.proposal import Proposal, as_text
from cdn2s3.errors import EXIT_DONE, EXIT_SOME_FAILED, FatalError, TransientError
from cdn2s3.file_names import COLLECTION_ENV
from cdn2s3.resilience.rate_limit import TokenBucket
from cdn2s3.resilience.retry import RetryPolicy, retry_after, with_retries
from cdn2s3.settings.declarations import CollectionSettings
from cdn2s3.settings.env_file import read_env_file
from cdn2s3.settings.loading import build
from cdn2s3.text import pluralize, redact

_BUSY = frozenset({408, 420, 425, 429})  # besides 5xx: asked again
_FOUND = ("API_URLS_FIELD", "API_URL_TEMPLATE", "URL_COLUMNS", "SITEMAP_URL", "FILES")


def suggest(source: str, env_file: Path) -> int:
    """Print the settings that source, an API's address or a file, suggests; return the exit code.

    The settings file, where there is one, says how to log in and how fast to ask. Raise FatalError where nothing
    can be read.
    """
    if source.startswith(("http://", "https://")):
        proposal = _of_api(source, env_file)
    else:
        proposal = export_lines.propose(Path(source))
    sys.stdout.write(as_text(proposal, redact(source)))
    return EXIT_DONE if any(name in proposal.settings for name in _FOUND) else EXIT_SOME_FAILED


def _of_api(url: str, env_file: Path) -> Proposal:
    settings = _settings(url, env_file)
    with api_session(settings) as session:
        ask = _asking(settings, session)
        first, content = ask_first(url, settings, session)
        if first.content is not None:
            return api_lines.propose(first, ask)
        return export_lines.propose_body(url, content, first.headers)


def _settings(url: str, env_file: Path) -> CollectionSettings:
    """Return the settings with url as the API, whatever else is missing from the file."""
    usual = env_file == Path(COLLECTION_ENV) and not env_file.exists()
    file = {} if usual else read_env_file(env_file)
    names = {"SOURCE": "api", "API_BASE_URL": url, "API_PAGINATION": "page"}
    environment = {name: value for name, value in os.environ.items() if name not in names}
    return build(CollectionSettings, {**file, **names}, environment, env_file)


def ask_first(url: str, settings: CollectionSettings, session: requests.Session) -> tuple[Seen, bytes]:
    """Return the first answer and its body; raise FatalError with the remedy when it is a refusal."""
    seen, content = _with_patience(url, settings, session, TokenBucket(settings.api_rate_limit))
    if seen.status == 200:
        return seen, content
    raise FatalError(f"the API answered {seen.status} to {redact(url)}. {_remedy(seen.status, settings)}")


def _remedy(status: int, settings: CollectionSettings) -> str:
    if status in (401, 403):
        return (
            "Set API_AUTH_TOKEN, API_AUTH_HEADER and API_AUTH_SCHEME in collection.env (or in the environment) as its "
            "documentation says, then repeat the command."
        )
    if 300 <= status < 400:
        return "It is a redirect: use the address that it leads to."
    return (
        "Correct the address. An API that takes only POST (GraphQL, searches) needs API_METHOD and API_BODY."
    )


def _asking(settings: CollectionSettings, session: requests.Session) -> Ask:
    """Return what makes the further requests, at the rate that the settings allow."""
    bucket = TokenBucket(settings.api_rate_limit)

    def ask(url: str) -> Seen:
        try:
            return _with_patience(url, settings, session, bucket)[0]
        except FatalError:
            return Seen(url, None, {}, 0)

    return ask


def _with_patience(
    url: str, settings: CollectionSettings, session: requests.Session, bucket: TokenBucket
) -> tuple[Seen, bytes]:
    """Return an answer and its body; raise FatalError where there is none after all retries."""

    def attempt() -> tuple[Seen, bytes]:
        bucket.take()
        try:
            answer = session.get(url, timeout=settings.api_timeout, allow_redirects=False)
            content = answer.content
        except (requests.RequestException, ValueError) as error:
            raise TransientError(
                "server_error", f"the response cannot be read ({type(error).__name__})"
            ) from error
        if answer.status_code in _BUSY or answer.status_code >= 500:
            asked = retry_after(answer.headers.get("retry-after"), 0.0)
            raise TransientError("throttled", f"it answers {answer.status_code}", asked, answer.status_code)
        headers = {name.lower(): value for name, value in answer.headers.items()}
        page = _json(content) if answer.status_code == 200 else None
        return Seen(url, page, headers, answer.status_code), content

    try:
        return with_retries(attempt, RetryPolicy(settings.max_retries))
    except TransientError as error:
        attempts = pluralize(settings.max_retries + 1, "attempt")
        raise FatalError(
            f"the API did not return {redact(url)} in {attempts}; the last error: {error}. Try again later."
        ) from error


def _json(content: bytes) -> object:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None
