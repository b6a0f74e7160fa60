"""The settings of both `.env` files: one frozen dataclass each, built by one pure function.

A field's name in lower case is the setting's name in the file. All bad values are reported together.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any, TypeVar

from cdn2s3.errors import Fixable
from cdn2s3.file_names import LISTS, WRITTEN, is_kept
from cdn2s3.keys import KeyMaker, Naming
from cdn2s3.settings.env_file import read_env_file
from cdn2s3.settings.parsers import (
    Parser,
    Secret,
    empty_or,
    endpoint,
    expression,
    file_path,
    flag,
    header_name,
    header_text,
    http_url,
    key_part,
    matching,
    names,
    number,
    one_of,
    path,
    processes,
    secret,
    text,
    url_prefix,
    whole,
)
from cdn2s3.text import MB, counted, printable, redact


def setting(default: str, parse: Parser, meaning: str, example: str = "") -> Any:
    """Declare a setting: default as it would stand in the file, parser, meaning for docs/settings.md."""
    return dataclasses.field(
        default=parse(default) if default is not REQUIRED else None,
        metadata={"default": default, "parse": parse, "meaning": meaning, "example": example},
    )


REQUIRED = "\0required"  # no default: the user has to say

_LOG_LEVELS = one_of("DEBUG", "INFO", "WARNING", "ERROR")
_CA_MEANING = "PEM file of the certificate authorities to trust instead of the public ones"


@dataclasses.dataclass(frozen=True)
class CollectionSettings:
    """What collect_urls.py is told, from collection.env."""

    source: str = setting(
        "api", one_of("api", "lots"), "where the URLs come from: a JSON API or local lot files"
    )
    api_base_url: str = setting(
        "",
        empty_or(http_url),
        "first page's URL, without the paging parameters",
        "https://api.example.com/v1/images",
    )
    api_auth_token: Secret = setting("", secret, "token sent with every API request; empty = none")
    api_auth_header: str = setting("Authorization", header_name, "header that carries the token", "X-Api-Key")
    api_auth_scheme: str = setting("Bearer", header_text, "word before the token; empty = the token alone")
    api_rate_limit: float = setting("10", number(0.01, 10000), "API requests a second, at most")
    results_per_page: int = setting("100", whole(1, 100000), "page size asked for")
    output_file: Path = setting("urls.txt", file_path, "where the URLs go, one a line")
    checkpoint_file: Path = setting("checkpoint.json", file_path, "where a later run resumes")
    checkpoint_interval: int = setting("10000", whole(1, 10_000_000), "URLs between two checkpoints")
    api_pagination: str = setting(
        "page",
        one_of("page", "offset", "cursor", "next_url", "link_header"),
        "how the API pages (docs/api-integration.md)",
    )
    api_page_param: str = setting("page", text, "query parameter of the page number (page)")
    api_first_page: int = setting("1", whole(0, 1), "number of the first page (page)")
    api_per_page_param: str = setting(
        "per_page", text, "query parameter of the page size; empty = not sent", "limit"
    )
    api_offset_param: str = setting("offset", text, "query parameter of the offset (offset)")
    api_cursor_param: str = setting("cursor", text, "query parameter of the cursor (cursor)")
    api_cursor_field: str = setting(
        "next_cursor", expression, "JMESPath of the next cursor in a page (cursor)"
    )
    api_next_field: str = setting("next", expression, "JMESPath of the next page's URL in a page (next_url)")
    api_urls_field: str = setting(
        "",
        expression,
        "JMESPath of the URLs in a page; empty = the page itself is a list of URLs",
        "items[].[image_url, thumb_url][]",
    )
    api_items_field: str = setting(
        "", expression, "JMESPath of the items in a page; empty = URLs are counted", "items"
    )
    api_total_field: str = setting(
        "", expression, "JMESPath of the API's total of items; empty = no check", "total"
    )
    api_timeout: float = setting("30", number(0.1, 3600), "seconds an API request may take in all")
    max_retries: int = setting("3", whole(0, 20), "further attempts after a request that failed")
    lot_files: str = setting("data/lots/**/lot_*_images.json", text, "glob of the lot files (SOURCE=lots)")
    lot_url_keys: tuple[str, ...] = setting(
        "image_url,thumb_url", names, "JSON keys whose values are URLs, at any depth"
    )
    url_prefix: str = setting(
        "https://d278yjzsv5tla9.cloudfront.net/", url_prefix, "what each URL must begin with"
    )
    expected_total: int | None = setting(
        "4000000", empty_or(whole(1, 10**12)), "lines expected in OUTPUT_FILE; empty = no check"
    )
    default_region: str = setting(
        "us-west-2",
        matching(r"[a-z]{2}(-[a-z]+)+-\d", "an AWS region"),
        "region to recommend when the edge location tells none",
    )
    ca_bundle: Path | None = setting("", empty_or(path), _CA_MEANING)
    log_level: str = setting("INFO", _LOG_LEVELS, "what goes to the log: DEBUG, INFO, WARNING or ERROR")


_ACLS = (
    "private",
    "public-read",
    "public-read-write",
    "authenticated-read",
    "aws-exec-read",
    "bucket-owner-read",
    "bucket-owner-full-control",
)
_STORAGE_CLASSES = (
    "STANDARD", "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING",
    "GLACIER", "DEEP_ARCHIVE", "OUTPOSTS", "GLACIER_IR", "SNOW", "EXPRESS_ONEZONE",
)  # fmt: skip
_BUCKET = matching(
    r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", "a bucket's name: 3 to 63 of a-z, 0-9, dots and hyphens"
)


@dataclasses.dataclass(frozen=True)
class MigrationSettings:
    """What migrate.py and validate.py are told, from migration.env."""

    source_urls_file: Path = setting("urls.txt", file_path, "the URLs to move, one a line")
    destination_bucket: str = setting(REQUIRED, _BUCKET, "the bucket to move them to", "my-auction-images")
    destination_bucket_fallback: str = setting(
        "", empty_or(_BUCKET), "name for --create-bucket when the first is taken"
    )
    expected_bucket_owner: str = setting(
        "",
        matching(r"(\d{12})?", "an account id of 12 digits, or empty"),
        "account that must own the bucket",
        "123456789012",
    )
    destination_prefix: str = setting("images/", key_part, "what every key begins with; may be empty")
    preserve_path_structure: bool = setting(
        "false", flag, "true = key is the URL's path, false = only its last segment"
    )
    strip_path_prefix: str = setting(
        "", key_part, "start of the path to leave out of the key", "auctionimages/"
    )
    on_collision: str = setting(
        "refuse", one_of("refuse", "first"), "two URLs with one key: refuse to start, or the first URL wins"
    )
    url_prefix: str = setting(
        "https://d278yjzsv5tla9.cloudfront.net/", url_prefix, "what each URL must begin with"
    )
    aws_region: str = setting("us-west-2", matching(r"[a-z0-9-]+", "a region's name"), "the bucket's region")
    aws_endpoint_url: str | None = setting(
        "", empty_or(endpoint), "an S3-compatible store instead of AWS", "https://s3.example.com"
    )
    concurrency: int = setting("150", whole(1, 2000), "workers (threads), each with one transfer at a time")
    processes: int | str = setting("1", processes, "processes that share the workers; auto = one a core")
    max_retries: int = setting("3", whole(0, 20), "further attempts after one that failed (waits 1, 2, 4 s)")
    download_timeout: float = setting("30", number(0.1, 3600), "seconds a download attempt may take in all")
    upload_timeout: float = setting("60", number(0.1, 3600), "seconds an upload attempt may take in all")
    outage_limit: float = setting(
        "1800", number(1, 86400), "seconds a side may be down before the run stops (exit 3)"
    )
    max_buffer_mb: int = setting("10", whole(1, 1000), "MB; a larger body is moved in parts (multipart)")
    max_error_rate: float = setting(
        "0.5", number(0, 1), "share of the last 1,000 URLs that may fail before the run stops"
    )
    bandwidth_limit_mbps: float = setting(
        "0", number(0, 1_000_000), "megabits a second of downloads, at most; 0 = no limit", "500"
    )
    content_check: str = setting(
        "image", one_of("image", "not_html", "none"), "what a body must be to be stored"
    )
    on_existing: str = setting(
        "verify", one_of("verify", "overwrite"), "an object is already there: compare, or replace it"
    )
    integrity: str = setting("md5", one_of("md5", "crc32"), "what the server checks each body against")
    upload_method: str = setting(
        "signed", one_of("signed", "put_object"), "who sends the upload: the pooled session, or boto3"
    )
    object_acl: str = setting(
        "", one_of("", *_ACLS), "canned ACL of each object; empty = none is sent", "bucket-owner-full-control"
    )
    storage_class: str = setting(
        "", one_of("", *_STORAGE_CLASSES), "storage class of each object; empty = the bucket's", "STANDARD_IA"
    )
    server_side_encryption: str = setting(
        "", one_of("", "AES256", "aws:kms", "aws:kms:dsse"), "encryption asked for; empty = the bucket's"
    )
    sse_kms_key_id: str = setting(
        "", header_text, "KMS key for aws:kms; empty = the bucket's", "alias/images"
    )
    cache_control: str = setting(
        "", header_text, "Cache-Control of each object; empty = none", "public, max-age=31536000"
    )
    ca_bundle: Path | None = setting("", empty_or(path), _CA_MEANING)
    state_dir: Path = setting(".", path, "folder of all state files, logs and reports")
    log_level: str = setting("INFO", _LOG_LEVELS, "what goes to the log: DEBUG, INFO, WARNING or ERROR")

    @property
    def max_buffer_bytes(self) -> int:
        return self.max_buffer_mb * MB


Settings = TypeVar("Settings", CollectionSettings, MigrationSettings)

# What the AWS SDK itself reads, and an env file may carry for an S3-compatible store.
AWS_NAMES = frozenset({
    "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
    "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE", "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_DEFAULT_REGION", "AWS_EC2_METADATA_DISABLED",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_STS_REGIONAL_ENDPOINTS",
})  # fmt: skip
_ONE_IDENTITY = frozenset({"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"})


def build(
    kind: type[Settings], file: Mapping[str, str], environment: Mapping[str, str], where: Path
) -> Settings:
    """Build settings of kind from the file's values, over which the environment wins.

    where is the file's path, for messages. Raise Fixable that names every bad value at once.
    """
    specs = _declared(kind)
    problems = [_unknown(name, kind) for name in file if name not in specs and name not in AWS_NAMES]
    values: dict[str, Any] = {}
    bad: set[str] = set()
    for name, spec in specs.items():
        given = environment.get(name, file.get(name))
        if given is None or (given == "" and spec.metadata["default"] is REQUIRED):
            if spec.metadata["default"] is REQUIRED:
                problems.append(f"{name} is not set: {spec.metadata['meaning']}")
                bad.add(name)
            continue
        try:
            values[spec.name] = spec.metadata["parse"](given)
        except ValueError as error:
            origin = "" if name not in environment else " (from the environment)"
            text_given = "***" if spec.metadata["parse"] is secret else redact(repr(given))
            problems.append(f"{name}={text_given}{origin}: must be {error}")
            bad.add(name)
    if kind is MigrationSettings:
        problems += _half_a_key_pair(environment if not _ONE_IDENTITY.isdisjoint(environment) else file)
    settings = kind(**values)
    problems += [text for names, text in _contradictions(settings) if bad.isdisjoint(names)]
    if not problems:
        return settings
    raise Fixable(
        f"{where}: {counted(len(problems), 'setting')} to correct:\n"
        + "\n".join(f"  - {p}" for p in problems)
    )


def _half_a_key_pair(given: Mapping[str, str]) -> list[str]:
    pair = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
    is_set = [name for name in pair if given.get(name)]
    if len(is_set) != 1:
        return []
    lacking = next(name for name in pair if name not in is_set)
    return [f"{is_set[0]} is set and {lacking} is not: set both or neither"]


def _declared(kind: type[CollectionSettings | MigrationSettings]) -> dict[str, dataclasses.Field[Any]]:
    """Return the settings of kind, by the names that they have in the file."""
    return {field.name.upper(): field for field in dataclasses.fields(kind)}


_FILES = {CollectionSettings: "collection.env", MigrationSettings: "migration.env"}


def _unknown(name: str, kind: type[CollectionSettings | MigrationSettings]) -> str:
    """Return what to say of a name that is no setting of kind."""
    for other, file in _FILES.items():
        if name in _declared(other):
            return f"{name} is no setting of this file: it belongs into {file}"
    known = [*_declared(kind), *sorted(AWS_NAMES)]
    near = difflib.get_close_matches(name[:80].upper(), known, n=1, cutoff=0)[0]
    return f"{printable(name)} is no setting; did you mean {near}?"


def _contradictions(
    settings: CollectionSettings | MigrationSettings,
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the settings that do not go together: their names, and what to tell."""
    if settings.ca_bundle and not settings.ca_bundle.is_file():
        yield ("CA_BUNDLE",), f"CA_BUNDLE={str(settings.ca_bundle)!r}: must be a file that exists"
    if isinstance(settings, CollectionSettings):
        if settings.source == "api" and not settings.api_base_url:
            yield (
                ("SOURCE", "API_BASE_URL"),
                "API_BASE_URL is not set: SOURCE=api needs the URL of the API's first page",
            )
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
        return
    urls = settings.source_urls_file
    if os.path.realpath(urls.parent) == os.path.realpath(settings.state_dir) and is_kept(
        urls, WRITTEN - LISTS
    ):
        yield (
            ("SOURCE_URLS_FILE", "STATE_DIR"),
            f"SOURCE_URLS_FILE={str(urls)!r}: the scripts write that file themselves. Copy it to another name first",
        )
    if settings.sse_kms_key_id and not settings.server_side_encryption.startswith("aws:kms"):
        yield (
            ("SSE_KMS_KEY_ID", "SERVER_SIDE_ENCRYPTION"),
            "SSE_KMS_KEY_ID is set: it needs SERVER_SIDE_ENCRYPTION=aws:kms",
        )


def load(
    kind: type[Settings], env_file: Path, environment: MutableMapping[str, str] = os.environ
) -> Settings:
    """Read env_file and the environment into settings, and hand the file's AWS_* names to the AWS SDK.

    Raise Fixable for everything that is wrong with them.
    """
    file = read_env_file(env_file)
    settings = build(kind, file, environment, env_file)
    # Keys and token belong together: half of them from the file would make a signature that no store takes.
    kept = frozenset() if _ONE_IDENTITY.isdisjoint(environment) else _ONE_IDENTITY
    for name in (AWS_NAMES - kept) & file.keys():
        if file[name]:
            environment.setdefault(name, file[name])
    return settings


def shown(settings: CollectionSettings | MigrationSettings) -> dict[str, str]:
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
        return ",".join(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else str(value)
    return repr(value) if isinstance(value, Secret) else redact(str(value))


def key_maker(settings: MigrationSettings) -> KeyMaker:
    """Return how URLs become keys under settings."""
    return KeyMaker(
        Naming(
            settings.url_prefix,
            settings.destination_prefix,
            settings.preserve_path_structure,
            settings.strip_path_prefix,
        )
    )
