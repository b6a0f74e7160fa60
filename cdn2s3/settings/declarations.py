"""The settings of both `.env` files: one frozen dataclass each, built by one pure function.

A field's name in lower case is the setting's name in the file. All bad values are reported together.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

from cdn2s3.file_names import CHECKPOINT_FILE, URLS_FILE
from cdn2s3.keys import KeyMaker, Naming
from cdn2s3.settings.parsers import (
    Headers,
    Parser,
    Secret,
    body,
    bucket_and_prefix,
    cache_control,
    command,
    detail_url,
    empty_or,
    endpoint,
    expression,
    file_path,
    flag,
    general_purpose_bucket,
    header_name,
    header_name_or_none,
    header_text,
    headers,
    http_url,
    key_part,
    matching,
    names,
    number,
    one_of,
    param_names,
    path,
    processes,
    secret,
    source_headers,
    statuses,
    text,
    url_base,
    url_prefix,
    url_template,
    whole,
)
from cdn2s3.settings.placement import ALL, KINDS, Placement
from cdn2s3.settings.variant_sizes import VariantSize, variant_sizes
from cdn2s3.text import MB


def setting(default: str, parse: Parser, meaning: str, example: str = "") -> Any:
    """Declare a setting: its default as written in the file, its parser, its meaning for docs/settings.md."""
    return dataclasses.field(
        default=parse(default) if default is not REQUIRED else "",
        metadata={"default": default, "parse": parse, "meaning": meaning, "example": example},
    )


REQUIRED = "\0required"  # no default: the user must set it

FILE_FORMATS = (
    "auto", "json", "jsonl", "csv", "tsv", "list", "sitemap", "xml", "html", "s3-inventory", "parquet",
)  # fmt: skip
_LOG_LEVELS = one_of("DEBUG", "INFO", "WARNING", "ERROR")
_CA_MEANING = "PEM file of certificate authorities to trust besides the public ones"

_PREFIX_MEANING = "what every URL must start with, whether http or https; several are separated by spaces"
_IGNORED_MEANING = (
    "parameters of the query that do not make two URLs different, such as signatures; empty = none"
)
_IGNORED_EXAMPLE = "Expires,Signature,Key-Pair-Id,v"


@dataclasses.dataclass(frozen=True)
class CollectionSettings:
    """The settings of collect_urls.py, from collection.env."""

    source: str = setting(
        "api",
        one_of("api", "lots", "files", "sitemap", "s3"),
        "where the URLs come from: a JSON API, local lot files, exports of any format, a sitemap or a bucket",
    )
    api_base_url: str = setting(
        "",
        empty_or(http_url),
        "URL of the first page, without the paging parameters",
        "https://api.example.com/v1/images",
    )
    api_method: str = setting("GET", one_of("GET", "POST"), "how a page is requested")
    api_body: Secret = setting(
        "",
        body,
        "body of each request, or @ and a file that has it; {page}, {offset}, {cursor}, {limit} are filled in",
        '{"query": "…", "after": {cursor}}',
    )
    api_auth_token: Secret = setting("", secret, "token sent with every API request; empty = none")
    api_auth_header: str = setting("Authorization", header_name, "header that carries the token", "X-Api-Key")
    api_auth_scheme: str = setting("Bearer", header_text, "word before the token; empty = the token alone")
    api_auth_param: str = setting(
        "",
        text,
        "query parameter that carries the token instead of the header; empty = the header does",
        "api_key",
    )
    api_token_command: Secret = setting(
        "",
        command,
        "command that prints a token, run at the start and when the API refuses the one before",
        "gcloud auth print-access-token",
    )
    api_headers: Headers = setting(
        "", headers, "further headers of every API request", "X-Shop: 5 | Accept: application/vnd.api+json"
    )
    api_rate_limit: float = setting("10", number(0.01, 10000), "maximum API requests per second")
    api_wait_limit: float = setting(
        "3600", number(0, 604800), "seconds to wait at most for a used-up API quota"
    )
    results_per_page: int = setting("100", whole(1, 100000), "page size to request")
    output_file: Path = setting(URLS_FILE, file_path, "file for the URLs, one per line")
    checkpoint_file: Path = setting(CHECKPOINT_FILE, file_path, "file that a later run resumes from")
    checkpoint_interval: int = setting("10000", whole(1, 10_000_000), "URLs between checkpoints")
    api_pagination: str = setting(
        "page",
        one_of("page", "offset", "cursor", "next_url", "link_header", "none"),
        "how the API pages (docs/api-integration.md)",
    )
    api_page_param: str = setting("page", text, "query parameter for the page number (page)")
    api_first_page: int = setting("1", whole(0, 1), "number of the first page (page)")
    api_per_page_param: str = setting(
        "per_page", text, "query parameter for the page size; empty = not sent", "limit"
    )
    api_offset_param: str = setting("offset", text, "query parameter for the offset (offset)")
    api_cursor_param: str = setting("cursor", text, "query parameter for the cursor (cursor)")
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
        "", expression, "JMESPath of the API's total item count; empty = no check", "total"
    )
    api_total_header: str = setting(
        "", header_name_or_none, "header with the API's total item count, if no field has it", "X-WP-Total"
    )
    api_has_more_field: str = setting(
        "", expression, "JMESPath of what says whether there are more pages, true or false", "has_more"
    )
    api_end_status: tuple[int, ...] = setting(
        "", statuses, "HTTP statuses that mean the end of the list, after a good page", "400,404"
    )
    api_url_base: str | None = setting(
        "",
        empty_or(url_base),
        "what completes URLs that the source gives without a host",
        "https://cdn.example.com/media",
    )
    api_url_template: str = setting(
        "",
        url_template,
        "URL to build from each record; each field in braces is a JMESPath expression",
        "https://cdn.example.com/{server}/{id}_{secret}.jpg",
    )
    api_detail_url: str = setting(
        "",
        detail_url,
        "URL of the details of one item of the list; {id} is a value of API_DETAIL_IDS; empty = no second step",
        "https://api.example.com/v1/items/{id}",
    )
    api_detail_ids: str = setting(
        "", expression, "JMESPath of the items' IDs in a page of the list", "items[].id"
    )
    api_detail_pagination: str = setting(
        "",
        one_of("", "page", "offset", "cursor", "next_url", "link_header", "none"),
        "how the details of an item page; empty = like the list, none = one document each",
        "none",
    )
    api_timeout: float = setting("30", number(0.1, 3600), "total seconds an API request may take")
    max_retries: int = setting("3", whole(0, 20), "retries after a failed request")
    lot_files: str = setting("data/lots/**/lot_*_images.json", text, "glob of the lot files (SOURCE=lots)")
    lot_url_keys: tuple[str, ...] = setting(
        "image_url,thumb_url", names, "JSON keys whose values are URLs, at any depth"
    )
    files: str = setting("", text, "glob of the exports (SOURCE=files)", "exports/**/*.csv.gz")
    file_format: str = setting("auto", one_of(*FILE_FORMATS), "format of the exports (SOURCE=files)")
    url_columns: str = setting(
        "",
        text,
        "names of the fields with URLs, or a JMESPath for each record; empty = what looks like an image",
        "image_url,thumb_url",
    )
    key_column: str = setting(
        "", text, "field whose value names the object in the bucket; empty = the URL's path does", "filename"
    )
    sitemap_url: str | None = setting(
        "",
        empty_or(http_url),
        "sitemap, sitemap index or robots.txt (SOURCE=sitemap)",
        "https://www.example.com/sitemap.xml",
    )
    source_bucket: str = setting(
        "",
        bucket_and_prefix,
        "bucket whose listing or S3 Inventory is the list, optionally with a prefix (SOURCE=s3)",
        "their-bucket/images/",
    )
    aws_region: str = setting("us-west-2", matching(r"[a-z0-9-]+", "a region name"), "SOURCE_BUCKET's region")
    aws_endpoint_url: str | None = setting(
        "",
        empty_or(endpoint),
        "S3-compatible store that has SOURCE_BUCKET; empty = AWS",
        "https://minio.example.com",
    )
    url_prefix: str = setting(
        "https://d278yjzsv5tla9.cloudfront.net/",
        url_prefix,
        _PREFIX_MEANING,
        "https://img1.example/=shop1/ https://img2.example/",
    )
    ignored_query_params: tuple[str, ...] = setting("", param_names, _IGNORED_MEANING, _IGNORED_EXAMPLE)
    expected_total: int | None = setting(
        "", empty_or(whole(1, 10**12)), "lines expected in OUTPUT_FILE; empty = no check", "4000000"
    )
    default_region: str = setting(
        "us-west-2",
        matching(r"[a-z]{2}(-[a-z]+)+-\d", "an AWS region"),
        "region to recommend when the CDN's edge location is unknown",
    )
    ca_bundle: Path | None = setting("", empty_or(path), _CA_MEANING)
    notify_command: Secret = setting(
        "",
        command,
        "command that is told when a run ends, cannot go on, and of outages (docs/reliability.md); empty = none",
        "sh -c 'mail -s \"$CDN2S3_TEXT\" ops@example.com'",
    )
    log_level: str = setting("INFO", _LOG_LEVELS, "least severe level to log: DEBUG, INFO, WARNING or ERROR")


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
_BUCKET = general_purpose_bucket(
    r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", "a bucket name: 3 to 63 characters of a-z, 0-9, dots and hyphens"
)


@dataclasses.dataclass(frozen=True)
class MigrationSettings:
    """The settings of migrate.py and validate.py, from migration.env."""

    source_urls_file: Path = setting(URLS_FILE, file_path, "the URLs to move, one per line")
    destination: str = setting(
        "s3",
        one_of(*KINDS),
        "where the images go: a bucket, a folder on this machine, or PERCENT of them to the bucket and the rest to "
        "the folder",
    )
    percent: int = setting(
        "100",
        whole(0, ALL),
        "share of the URLs to move, by a hash of the path; with DESTINATION=hybrid, the share that belongs in the "
        "bucket (docs/share.md)",
        "10",
    )
    local_root: Path | None = setting(
        "",
        empty_or(path),
        "the folder to move images to (DESTINATION=local or hybrid); it must exist",
        "/mnt/images",
    )
    destination_bucket: str = setting(
        REQUIRED, _BUCKET, "the bucket to move the images to", "my-auction-images"
    )
    destination_bucket_fallback: str = setting(
        "", empty_or(_BUCKET), "name for --create-bucket to try if the first one is taken"
    )
    expected_bucket_owner: str = setting(
        "",
        matching(r"(\d{12})?", "a 12-digit account ID, or empty"),
        "account that must own the bucket",
        "123456789012",
    )
    destination_prefix: str = setting("images/", key_part, "what every key starts with; may be empty")
    preserve_path_structure: bool = setting(
        "false", flag, "true = the key is the URL's path, false = only its last segment"
    )
    strip_path_prefix: str = setting("", key_part, "start of the path to omit from the key", "auctionimages/")
    on_collision: str = setting(
        "refuse",
        one_of("refuse", "first"),
        "when two URLs have the same key: refuse to start, or let the first URL win",
    )
    url_prefix: str = setting(
        "https://d278yjzsv5tla9.cloudfront.net/",
        url_prefix,
        _PREFIX_MEANING,
        "https://img1.example/=shop1/ https://img2.example/",
    )
    ignored_query_params: tuple[str, ...] = setting("", param_names, _IGNORED_MEANING, _IGNORED_EXAMPLE)
    key_query_params: tuple[str, ...] = setting(
        "", param_names, "parameters of the query whose values are part of the key (docs/design.md)", "id,w"
    )
    source_headers: Headers = setting(
        "",
        source_headers,
        "further headers of every request to URL_PREFIX's hosts, and to no other",
        "Referer: https://www.example.com/ | Cookie: session=1a2b",
    )
    source_redirects: str = setting(
        "prefix",
        one_of("prefix", "same-host", "any"),
        "which redirects of the CDN are followed: within URL_PREFIX, on the same host, or anywhere",
    )
    source_encoding: str = setting(
        "decode",
        one_of("decode", "keep"),
        "a body that the CDN compresses unasked: store what is in it, or as it is with its Content-Encoding",
    )
    aws_region: str = setting("us-west-2", matching(r"[a-z0-9-]+", "a region name"), "the bucket's region")
    aws_endpoint_url: str | None = setting(
        "", empty_or(endpoint), "an S3-compatible store instead of AWS", "https://s3.example.com"
    )
    s3_addressing_style: str = setting(
        "auto",
        one_of("auto", "path", "virtual"),
        "how the bucket is addressed: its name in the path, in the host's name, or as the AWS profile says",
    )
    concurrency: int = setting("150", whole(1, 2000), "workers (threads), each with one transfer at a time")
    processes: int | str = setting("1", processes, "processes that share the workers; auto = one per core")
    max_retries: int = setting("3", whole(0, 20), "retries after a failed attempt (waits 1, 2, 4 s)")
    download_timeout: float = setting("30", number(0.1, 3600), "total seconds a download attempt may take")
    upload_timeout: float = setting("60", number(0.1, 3600), "total seconds an upload attempt may take")
    outage_limit: float = setting(
        "1800", number(1, 86400), "seconds the CDN or the bucket may be down before the run stops (exit 3)"
    )
    max_buffer_mb: int = setting(
        "10", whole(1, 1000), "MB; a larger body is moved in parts (multipart upload)"
    )
    max_error_rate: float = setting(
        "0.5", number(0, 1), "fraction of the last 1,000 URLs that may fail before the run stops"
    )
    max_change_rate: float = setting(
        "0.05",
        number(0, 1),
        "fraction of the images that may have changed before --delta stops, nothing replaced",
    )
    bandwidth_limit_mbps: float = setting(
        "0", number(0, 1_000_000), "maximum download rate in megabits per second; 0 = no limit", "500"
    )
    content_check: str = setting(
        "image", one_of("image", "not_html", "none"), "what a body must be before it is stored"
    )
    on_existing: str = setting(
        "verify", one_of("verify", "overwrite"), "when an object already exists: compare, or replace it"
    )
    integrity: str = setting(
        "auto",
        one_of("auto", "md5", "crc32"),
        "what the server checks each body against; auto = the CRC-32 where the store then answers the MD5, else md5",
    )
    upload_method: str = setting(
        "signed", one_of("signed", "put_object"), "what sends the upload: the pooled session, or boto3"
    )
    object_acl: str = setting(
        "", one_of("", *_ACLS), "canned ACL of each object; empty = none is sent", "bucket-owner-full-control"
    )
    storage_class: str = setting(
        "",
        one_of("", *_STORAGE_CLASSES),
        "storage class of each object; empty = the bucket's default",
        "STANDARD_IA",
    )
    server_side_encryption: str = setting(
        "",
        one_of("", "AES256", "aws:kms", "aws:kms:dsse"),
        "encryption to request; empty = the bucket's default",
    )
    sse_kms_key_id: str = setting(
        "", header_text, "KMS key for aws:kms; empty = the bucket's default", "alias/images"
    )
    cache_control: str = setting(
        "",
        cache_control,
        "Cache-Control of each object, or rules by content type, the most specific of which counts; empty = none",
        "image/*: public, max-age=2592000; *: max-age=604800",
    )
    variants_prefix: str = setting(
        "variants/",
        key_part,
        "what the keys of variants start with (variants.py); not within DESTINATION_PREFIX",
    )
    variant_sizes: tuple[VariantSize, ...] = setting(
        "thumbnail:300,medium:800,large:1200",
        variant_sizes,
        "the sizes of variants: name and pixels of the longest side (variants.py)",
        "thumbnail:300,zoom:2400",
    )
    max_pixels: float = setting(
        "50", number(0.01, 1000), "million pixels; of a larger image, variants.py makes no variants"
    )
    cors_origin: str = setting(
        "",
        matching(r"(https?://[^/\s?#@]+)?", "an origin, such as https://www.example.com, or empty"),
        "site whose scripts may read images at the new CDN; validate.py --through asks for it; empty = not asked",
        "https://www.example.com",
    )
    ca_bundle: Path | None = setting("", empty_or(path), _CA_MEANING)
    state_dir: Path = setting(".", path, "folder for all state files, logs and reports")
    notify_command: Secret = setting(
        "",
        command,
        "command that is told when a run ends, cannot go on, and of outages (docs/reliability.md); empty = none",
        "sh -c 'mail -s \"$CDN2S3_TEXT\" ops@example.com'",
    )
    log_level: str = setting("INFO", _LOG_LEVELS, "least severe level to log: DEBUG, INFO, WARNING or ERROR")

    @property
    def max_buffer_bytes(self) -> int:
        return self.max_buffer_mb * MB

    @property
    def placement(self) -> Placement:
        """Where each image belongs."""
        return Placement(self.destination, self.percent)

    @property
    def by_place(self) -> dict[str, MigrationSettings]:
        """The settings of each place in use, the bucket first, as if it were the only destination."""
        placement = self.placement
        if not placement.is_hybrid:
            return {self.destination: self}
        return {
            place: dataclasses.replace(self, destination=place, percent=ALL) for place in placement.places
        }

    @property
    def local_folder(self) -> str:
        """LOCAL_ROOT without symbolic links; "" where no folder is in use."""
        uses_folder = self.local_root is not None and self.placement.uses_folder
        return os.path.realpath(str(self.local_root)) if uses_folder else ""

    @property
    def destination_text(self) -> str:
        """Where images go, as a person would write it."""
        placement, folder = self.placement, f"{self.local_folder}/{self.destination_prefix}"
        bucket = f"s3://{self.destination_bucket}/{self.destination_prefix}"
        if placement.is_hybrid:
            return f"{bucket} ({placement.percent}%) and {folder}"
        return bucket if placement.uses_bucket else folder


def key_maker(settings: MigrationSettings) -> KeyMaker:
    """Return the mapping from URLs to keys under settings."""
    return KeyMaker(
        Naming(
            settings.url_prefix,
            settings.destination_prefix,
            settings.preserve_path_structure,
            settings.strip_path_prefix,
            settings.ignored_query_params,
            settings.key_query_params,
        )
    )


def identities(settings: CollectionSettings) -> KeyMaker:
    """Return what shows which URLs may be fetched and which are the same; the keys are a migration's business."""
    return KeyMaker(Naming(settings.url_prefix, "", False, "", settings.ignored_query_params))
