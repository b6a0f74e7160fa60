"""Which settings cannot be meant together, and what to change."""

from __future__ import annotations

import os
from collections.abc import Iterator
from urllib.parse import urlsplit

from cdn2s3.file_names import LISTS, WRITTEN, is_kept
from cdn2s3.settings.collection_settings import CollectionSettings
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.settings.places import names_in
from cdn2s3.settings.regions import unknown_region


def contradictions(
    settings: CollectionSettings | MigrationSettings,
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the settings that contradict each other: their names, and the message."""
    if settings.ca_bundle and not settings.ca_bundle.is_file():
        yield ("CA_BUNDLE",), f"CA_BUNDLE={str(settings.ca_bundle)!r}: must be a file that exists"
    if isinstance(settings, CollectionSettings):
        yield from _collection_contradictions(settings)
    else:
        yield from _migration_contradictions(settings)


def _collection_contradictions(settings: CollectionSettings) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield what contradicts itself in collection.env."""
    if settings.source == "api" and not settings.api_base_url:
        yield (
            ("SOURCE", "API_BASE_URL"),
            "API_BASE_URL is not set: SOURCE=api needs the URL of the API's first page",
        )
    yield from _source_contradictions(settings)
    if settings.api_pagination == "cursor" and not settings.api_cursor_field:
        yield (
            ("API_PAGINATION", "API_CURSOR_FIELD"),
            "API_CURSOR_FIELD is not set: API_PAGINATION=cursor needs it",
        )
    if settings.api_pagination == "next_url" and not settings.api_next_field:
        yield (
            ("API_PAGINATION", "API_NEXT_FIELD"),
            "API_NEXT_FIELD is not set: API_PAGINATION=next_url needs it",
        )
    yield from _request_contradictions(settings)
    if not settings.api_url_base and settings.api_url_template[:1] not in ("", "{", "h"):
        yield (
            ("API_URL_BASE", "API_URL_TEMPLATE"),
            f"API_URL_TEMPLATE={settings.api_url_template!r}: must begin with https:// or a field; "
            "or set API_URL_BASE, which it then completes",
        )
    yield from _auth_contradictions(settings)
    yield from _detail_contradictions(settings)


def _migration_contradictions(settings: MigrationSettings) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield what contradicts itself in migration.env."""
    if settings.placement.uses_bucket and not settings.aws_endpoint_url:
        unknown = unknown_region(settings.aws_region)
        if unknown:
            yield ("DESTINATION", "AWS_REGION", "AWS_ENDPOINT_URL"), unknown
    urls = settings.source_urls_file
    if os.path.realpath(urls.parent) == os.path.realpath(settings.state_dir) and is_kept(
        urls, WRITTEN - LISTS
    ):
        yield (
            ("SOURCE_URLS_FILE", "STATE_DIR"),
            f"SOURCE_URLS_FILE={str(urls)!r}: the scripts write to that file. Copy it to another name first",
        )
    both = [name for name in settings.key_query_params if name in settings.ignored_query_params]
    if both:
        yield (
            ("KEY_QUERY_PARAMS", "IGNORED_QUERY_PARAMS"),
            f"KEY_QUERY_PARAMS and IGNORED_QUERY_PARAMS both have {', '.join(both)}: remove it from one of them",
        )
    yield from _local_contradictions(settings)
    yield from _cluster_contradictions(settings)
    if settings.sse_kms_key_id and not settings.server_side_encryption.startswith("aws:kms"):
        yield (
            ("SSE_KMS_KEY_ID", "SERVER_SIDE_ENCRYPTION"),
            "SSE_KMS_KEY_ID is set: it needs SERVER_SIDE_ENCRYPTION=aws:kms",
        )


_OF_SOURCE = {
    "files": "files",
    "sitemap": "sitemap_url",
    "s3": "source_bucket",
}  # what each cannot do without


_WHAT = {"files": "the glob of the exports", "sitemap": "the sitemap's URL", "s3": "the bucket's name"}


def _source_contradictions(settings: CollectionSettings) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield what does not fit SOURCE."""
    for source, field in _OF_SOURCE.items():
        name, value = field.upper(), getattr(settings, field)
        if settings.source == source and not value:
            yield ("SOURCE", name), f"{name} is not set: SOURCE={source} needs {_WHAT[source]}"
        elif settings.source != source and value:
            yield (
                ("SOURCE", name),
                f"{name} is set, but SOURCE={settings.source} does not use it: set SOURCE={source}, or remove it",
            )
    if settings.source not in ("files", "sitemap") and settings.url_columns:
        yield (
            ("SOURCE", "URL_COLUMNS"),
            f"URL_COLUMNS is set, but SOURCE={settings.source} does not use it: set SOURCE=files, or remove it",
        )
    if settings.source == "s3" and not settings.aws_endpoint_url:
        unknown = unknown_region(settings.aws_region)
        if unknown:
            yield ("SOURCE", "AWS_REGION", "AWS_ENDPOINT_URL"), unknown
    if settings.source != "files" and settings.key_column:
        yield ("SOURCE", "KEY_COLUMN"), "KEY_COLUMN is set: it needs SOURCE=files"


def _auth_contradictions(settings: CollectionSettings) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield what is wrong with the credentials."""
    scheme, token = settings.api_auth_scheme, settings.api_auth_token.reveal()
    if scheme and token.lower().startswith(f"{scheme.lower()} "):
        yield (
            ("API_AUTH_TOKEN", "API_AUTH_SCHEME"),
            f"API_AUTH_TOKEN begins with {scheme}, which API_AUTH_SCHEME={scheme} already adds: "
            "remove that word from API_AUTH_TOKEN",
        )
    if token and settings.api_token_command:
        yield (
            ("API_AUTH_TOKEN", "API_TOKEN_COMMAND"),
            "API_AUTH_TOKEN and API_TOKEN_COMMAND are both set: keep the command, or the token if it does not expire",
        )
    names = {name.lower() for name, _ in settings.api_headers.pairs}
    has_header = bool(token or settings.api_token_command) and not settings.api_auth_param
    if has_header and settings.api_auth_header.lower() in names:
        yield (
            ("API_HEADERS", "API_AUTH_HEADER"),
            f"API_HEADERS has {settings.api_auth_header}, which carries the token (API_AUTH_HEADER): remove one of "
            "them",
        )


# The place that each style fills besides {limit}.
_PLACE_OF_STYLE = {"page": "page", "offset": "offset", "cursor": "cursor"}


def _request_contradictions(settings: CollectionSettings) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield what is wrong with the request for a page."""
    body = settings.api_body.reveal()
    if body and settings.api_method == "GET":
        yield ("API_BODY", "API_METHOD"), "API_BODY is set: it needs API_METHOD=POST"
    style = settings.api_pagination
    own = _PLACE_OF_STYLE.get(style)
    for name, text in (("API_BASE_URL", settings.api_base_url or ""), ("API_BODY", body)):
        for place in sorted(names_in(text) - {own, "limit"}):
            fits = f": it has {{{own}}}" if own else ""
            yield (
                (name, "API_PAGINATION"),
                f"{name} has {{{place}}}, which API_PAGINATION={style} does not fill{fits}. If it is part of a "
                f"query and not a placeholder, write {{ {place} }}",
            )


def _detail_contradictions(settings: CollectionSettings) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield what is wrong with the second step."""
    names = ("API_DETAIL_URL", "API_DETAIL_IDS")
    if settings.api_detail_url and not settings.api_detail_ids:
        yield names, "API_DETAIL_IDS is not set: API_DETAIL_URL needs the IDs, such as items[].id"
    if settings.api_detail_ids and not settings.api_detail_url:
        yield names, "API_DETAIL_URL is not set: API_DETAIL_IDS is for the {id} in it"
    if settings.api_detail_pagination and not settings.api_detail_url:
        yield (
            ("API_DETAIL_URL", "API_DETAIL_PAGINATION"),
            "API_DETAIL_URL is not set: API_DETAIL_PAGINATION is about its pages",
        )
    there, here = (urlsplit(url or "") for url in (settings.api_detail_url, settings.api_base_url))
    has_secret = settings.api_auth_token or settings.api_token_command or settings.api_headers
    if has_secret and there.netloc and (there.scheme, there.netloc) != (here.scheme, here.netloc):
        yield (
            ("API_DETAIL_URL", "API_BASE_URL"),
            f"API_DETAIL_URL is at {there.scheme}://{there.netloc}, but API_BASE_URL at {here.scheme}://{here.netloc}: "
            "the token and API_HEADERS go to one server alone. Use the same scheme, host and port",
        )


def _local_contradictions(settings: MigrationSettings) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield what is wrong with a folder as a destination."""
    if not settings.placement.uses_folder:
        return
    kind = settings.destination
    if settings.local_root is None:
        yield (
            ("DESTINATION", "LOCAL_ROOT"),
            f"LOCAL_ROOT is not set: DESTINATION={kind} needs the folder to move images to",
        )
        return
    root = os.path.realpath(settings.local_root)
    for name, path in (("STATE_DIR", settings.state_dir), ("SOURCE_URLS_FILE", settings.source_urls_file)):
        if os.path.commonpath([root, os.path.realpath(path)]) == root:
            yield (
                ("LOCAL_ROOT", name),
                f"LOCAL_ROOT={str(settings.local_root)!r}: contains {name}={str(path)!r}, so images and state files "
                "would mix. Choose a folder that contains nothing else",
            )
    if not {"", ".", ".."}.isdisjoint(settings.destination_prefix.split("/")[:-1]):
        yield (
            ("DESTINATION_PREFIX",),
            f"DESTINATION_PREFIX={settings.destination_prefix!r}: must not start with / or contain an empty, . or .. "
            f"segment, which no folder has (DESTINATION={kind})",
        )


def _cluster_contradictions(settings: MigrationSettings) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield what does not go together with a Dask cluster."""
    if not settings.dask_scheduler:
        return
    if settings.processes != 1:
        yield (
            ("DASK_SCHEDULER", "PROCESSES"),
            f"PROCESSES={settings.processes} and DASK_SCHEDULER are both set: with DASK_SCHEDULER, each machine has as "
            "many processes as its `dask worker --nworkers` says. Remove PROCESSES",
        )
    if settings.placement.uses_folder:
        yield (
            ("DASK_SCHEDULER", "DESTINATION"),
            f"DESTINATION={settings.destination} and DASK_SCHEDULER are both set: each Dask worker would write to a "
            "folder of its own machine. Set DESTINATION=s3, or remove DASK_SCHEDULER",
        )
