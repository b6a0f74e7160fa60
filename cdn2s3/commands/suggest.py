"""collect_urls.py --suggest: read one page of an API, or the head of an export, and propose settings for it.

It writes no file: the lines go to standard output. Besides the page it asks for a few more, with one parameter
changed, to see how the API pages.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path

import requests

from cdn2s3.collection.api.client import Api, api_session
from cdn2s3.collection.api.json_body import json_of
from cdn2s3.collection.api.page_request import PageRequest
from cdn2s3.collection.suggest import api_lines, export_lines, recipes
from cdn2s3.collection.suggest.probing import MOST_REQUESTS, Ask, Seen
from cdn2s3.collection.suggest.proposal import Proposal, as_text
from cdn2s3.errors import EXIT_DONE, EXIT_SOME_FAILED, FatalError, MigrationError
from cdn2s3.file_names import COLLECTION_ENV
from cdn2s3.http.requests_adapter import PooledAdapter, new_session
from cdn2s3.settings.collection_settings import CollectionSettings
from cdn2s3.settings.env_file import read_env_file
from cdn2s3.settings.loading import build
from cdn2s3.text import redact

_LONGEST_WAIT = 60.0  # seconds for a quota: nobody waits an hour for a suggestion


def suggest(source: str, env_file: Path) -> int:
    """Print the settings that source, an API's address or a file, suggests; return the exit code.

    The settings file, where there is one, says how to log in and how fast to ask. Raise FatalError where nothing
    can be read.
    """
    if source.startswith(("http://", "https://")):
        settings = _settings(source, env_file)
        try:
            proposal = _with_recipes(_of_api(settings), source)
        except FatalError as error:
            raise FatalError(f"{error}{_hint(source)}") from error
    else:
        proposal = export_lines.propose(source)
    sys.stdout.write(as_text(proposal, redact(source)))
    return EXIT_DONE if _is_whole(proposal) else EXIT_SOME_FAILED


def _with_recipes(proposal: Proposal, url: str) -> Proposal:
    tested = _tested(url)
    return proposal._replace(notes=[*proposal.notes, tested]) if tested else proposal


def _tested(url: str) -> str:
    files = ", ".join(f"docs/recipes/{name}.env" for name in recipes.like(url))
    return f"tested settings for an API at such an address: {files}" if files else ""


def _hint(url: str) -> str:
    """Return what else a refusal may mean, as further sentences."""
    tested = _tested(url)
    said = (
        " --suggest sends GET: an API that takes only POST (GraphQL, a search) needs API_METHOD and API_BODY."
    )
    return f"{said} There are {tested}." if tested else said


def _is_whole(proposal: Proposal) -> bool:
    """Return whether a proposal has all that a collection needs."""
    found = proposal.settings
    return "URL_PREFIX" in found and (found.get("SOURCE") != "api" or "API_PAGINATION" in found)


def _settings(url: str, env_file: Path) -> CollectionSettings:
    """Return the settings with url as the API, whatever else is missing from the file."""
    usual = env_file == Path(COLLECTION_ENV) and not env_file.exists()
    file = {} if usual else read_env_file(env_file)
    ours = {
        "SOURCE": "api",
        "API_BASE_URL": url,
        "API_PAGINATION": "none",
        "API_METHOD": "GET",
        "API_BODY": "",
    }
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    settings = build(CollectionSettings, {**file, **ours}, environment, env_file)
    return dataclasses.replace(
        settings,
        max_retries=min(1, settings.max_retries),
        api_wait_limit=min(_LONGEST_WAIT, settings.api_wait_limit),
    )


def _of_api(settings: CollectionSettings) -> Proposal:
    url = settings.api_base_url or ""
    sys.stderr.write(
        f"Reading a page, then trying parameters: at most {MOST_REQUESTS} requests, {settings.api_rate_limit:g} a "
        "second (API_RATE_LIMIT).\n"
    )
    with api_session(settings) as session:
        api = Api(settings, session)
        answer = _first(url, settings, session)
        if answer is not None and answer.content and _is_no_json(answer):
            return export_lines.propose_body(url, answer.content)
        reply = api.get(PageRequest(url), "the first page")
        if reply.refusal is not None:
            raise reply.refusal
        first = Seen(url, reply.content, {name.lower(): value for name, value in reply.headers.items()})
        with new_session(PooledAdapter(1, settings.ca_bundle)) as cdn:
            return api_lines.propose(first, _asking(api), lambda image: _is_image(image, settings, cdn))


def _first(url: str, settings: CollectionSettings, session: requests.Session) -> requests.Response | None:
    """Return a first answer with status 200; None for any other answer, which Api words better."""
    try:
        answer = session.get(url, timeout=settings.api_timeout, allow_redirects=False)
        return answer if answer.status_code == 200 else None
    except (MigrationError, requests.RequestException, ValueError):
        return None


def _is_no_json(answer: requests.Response) -> bool:
    try:
        json_of(answer)
    except (ValueError, RecursionError):
        return True
    return False


def _asking(api: Api) -> Ask:
    """Return what makes the further requests; a refusal is an answer, too."""

    def ask(url: str) -> Seen:
        try:
            reply = api.get(PageRequest(url), "a trial of another parameter")
        except FatalError:
            return Seen(url, None, {}, 0)
        headers = {name.lower(): value for name, value in reply.headers.items()}
        return Seen(url, reply.content, headers, reply.status)

    return ask


def _is_image(url: str, settings: CollectionSettings, session: requests.Session) -> bool:
    """Return whether there is an image at url; session has no credentials."""
    try:
        answer = session.head(url, timeout=settings.api_timeout, allow_redirects=False)
    except (MigrationError, requests.RequestException, ValueError):
        return False
    return answer.status_code == 200 and answer.headers.get("content-type", "").startswith("image/")
