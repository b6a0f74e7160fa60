"""Loading of settings from an env file and the environment: every bad value is reported at once."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from cdn2s3.errors import UsageError
from cdn2s3.file_names import COLLECTION_ENV, LISTS, MIGRATION_ENV, WRITTEN, is_kept
from cdn2s3.records import S3
from cdn2s3.settings.declarations import REQUIRED, CollectionSettings, MigrationSettings
from cdn2s3.settings.env_file import read_env_file
from cdn2s3.settings.parsers import (
    Secret,
    body,
    command,
    headers,
    secret,
    source_headers,
)
from cdn2s3.settings.placement import Placement
from cdn2s3.settings.places import names_in
from cdn2s3.settings.regions import unknown_region
from cdn2s3.settings.spelling import misspelled, nearest, suggestion
from cdn2s3.text import pluralize, printable, redact

_SECRETS = (secret, headers, source_headers, command, body)  # parsers of what may not be shown

Settings = TypeVar("Settings", CollectionSettings, MigrationSettings)


# What the AWS SDK itself reads, and an env file may carry for an S3-compatible store.
AWS_NAMES = frozenset({
    "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
    "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE", "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_DEFAULT_REGION", "AWS_EC2_METADATA_DISABLED",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_STS_REGIONAL_ENDPOINTS", "AWS_CA_BUNDLE",
})  # fmt: skip


_ONE_IDENTITY = frozenset({"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"})


def build(
    kind: type[Settings], file: Mapping[str, str], environment: Mapping[str, str], where: Path
) -> Settings:
    """Build settings of kind from the file's values; the environment overrides them.

    where is the file's path, for messages. Raise one UsageError that names every bad value.
    """
    specs = _declared(kind)
    problems = [_unknown(name, kind) for name in file if name not in specs and name not in AWS_NAMES]
    values: dict[str, Any] = {}
    bad: set[str] = set()
    for name, spec in specs.items():
        given = environment.get(name, file.get(name))
        is_needed = (
            spec.metadata["default"] is REQUIRED and Placement(values.get("destination", S3)).uses_bucket
        )
        if given is None or (given == "" and spec.metadata["default"] is REQUIRED):
            if is_needed:
                problems.append(f"{name} is not set: {spec.metadata['meaning']}")
                bad.add(name)
            continue
        try:
            values[spec.name] = spec.metadata["parse"](given)
        except ValueError as error:
            origin = "" if name not in environment else " (from the environment)"
            text_given = "***" if spec.metadata["parse"] in _SECRETS else redact(repr(given))
            problems.append(f"{name}={text_given}{origin}: must be {error}")
            bad.add(name)
    if kind is MigrationSettings:
        problems += _half_a_key_pair(environment if not _ONE_IDENTITY.isdisjoint(environment) else file)
    settings = kind(**values)
    problems += [text for names, text in _contradictions(settings) if bad.isdisjoint(names)]
    if not problems:
        return settings
    raise UsageError(
        f"{where}: {pluralize(len(problems), 'setting')} to correct:\n"
        + "\n".join(f"  - {p}" for p in problems)
    )


def _half_a_key_pair(given: Mapping[str, str]) -> list[str]:
    pair = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
    is_set = [name for name in pair if given.get(name)]
    if len(is_set) != 1:
        return []
    lacking = next(name for name in pair if name not in is_set)
    return [f"{is_set[0]} is set, but {lacking} is not: set both or neither"]


def _declared(kind: type[CollectionSettings | MigrationSettings]) -> dict[str, dataclasses.Field[Any]]:
    """Return the settings of kind, by the names that they have in the file."""
    return {field.name.upper(): field for field in dataclasses.fields(kind)}


_FILES = {CollectionSettings: COLLECTION_ENV, MigrationSettings: MIGRATION_ENV}


def _unknown(name: str, kind: type[CollectionSettings | MigrationSettings]) -> str:
    """Return the message for a name that isn't a setting of kind."""
    for other, file in _FILES.items():
        if name in _declared(other):
            return f"{name} isn't a setting in this file; move it to {file}"
    return f"{printable(name)} isn't a setting; {suggestion(nearest(name.upper(), _known(kind)))}"


def _known(kind: type[CollectionSettings | MigrationSettings]) -> list[str]:
    return [*_declared(kind), *sorted(AWS_NAMES)]


def _contradictions(
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


def without_secrets(settings: MigrationSettings) -> MigrationSettings:
    """Return settings with each secret as if it were not set: what may travel to another machine."""
    fields = dataclasses.fields(settings)
    unset: dict[str, Any] = {
        field.name: field.default for field in fields if field.metadata["parse"] in _SECRETS
    }
    return dataclasses.replace(settings, **unset)


def with_own_headers(settings: MigrationSettings, environment: Mapping[str, str]) -> MigrationSettings:
    """Return settings of another machine with SOURCE_HEADERS as this one's environment has it.

    Raise UsageError if that is no value for it.
    """
    try:
        own = source_headers(environment.get("SOURCE_HEADERS", ""))
    except ValueError as error:
        raise UsageError(f"SOURCE_HEADERS in the environment of this machine: must be {error}") from None
    return dataclasses.replace(settings, source_headers=own)


class StartNotes(NamedTuple):
    """What a run's log begins with, kept until the log is open."""

    effective: str  # the settings that differ from their defaults, one per line
    warnings: tuple[str, ...]
    private: frozenset[str] = frozenset()  # variables of the environment that no program of the user's gets


def load(
    kind: type[Settings], env_file: Path, environment: MutableMapping[str, str] = os.environ
) -> tuple[Settings, StartNotes]:
    """Read env_file and the environment into settings, and hand the file's AWS_* names to the AWS SDK.

    Raise UsageError for everything that is wrong with them.
    """
    file = read_env_file(env_file)
    settings = build(kind, file, environment, env_file)
    others = {name for other in _FILES for name in _declared(other)}
    prefix = "API_" if kind is CollectionSettings else None
    warnings = tuple(misspelled(environment, _known(kind), others, prefix))
    handed_over: set[str] = set()
    # Keys and token belong together: a mix of file and environment would make a signature that no store accepts.
    kept = frozenset() if _ONE_IDENTITY.isdisjoint(environment) else _ONE_IDENTITY
    for name in (AWS_NAMES - kept) & file.keys():
        if file[name] and name not in environment:
            environment[name] = file[name]
            handed_over.add(name)
    private = frozenset(handed_over) | _secret_names()
    return settings, StartNotes(_effective(settings, env_file, environment), warnings, private)


def _secret_names() -> frozenset[str]:
    """Return the names of the settings whose values are secret."""
    declared = {name: field for kind in _FILES for name, field in _declared(kind).items()}
    return frozenset(name for name, field in declared.items() if field.metadata["parse"] in _SECRETS)


def _effective(
    settings: CollectionSettings | MigrationSettings, env_file: Path, environment: Mapping[str, str]
) -> str:
    """Return the settings that differ from their defaults and where each came from, secrets redacted."""
    lines = []
    for name, field in _declared(type(settings)).items():
        value = _as_text(getattr(settings, field.name))
        if value != _as_text(field.default):
            lines.append(f"{name}={value} ({'environment' if name in environment else env_file})")
    if (
        isinstance(settings, MigrationSettings)
        and settings.aws_endpoint_url
        and unknown_region(settings.aws_region)
    ):
        lines.append(
            f"{settings.aws_region} isn't an AWS region; the store at AWS_ENDPOINT_URL must recognize it"
        )
    return "\n".join(["Settings that differ from the defaults:", *lines])


def redacted_values(settings: CollectionSettings | MigrationSettings) -> dict[str, str]:
    """Return each setting's name and value as text that may be shown: secrets redacted."""
    return {
        field.name.upper(): _as_text(getattr(settings, field.name)) for field in dataclasses.fields(settings)
    }


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else str(value)
    return repr(value) if isinstance(value, Secret) else redact(str(value))
