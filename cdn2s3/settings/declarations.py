"""The settings of both `.env` files: one frozen dataclass each, built by one pure function.

A field's name in lower case is the setting's name in the file. All bad values are reported together.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from cdn2s3.file_names import URLS_FILE
from cdn2s3.keys import KeyMaker, Naming
from cdn2s3.settings.collection_settings import CollectionSettings
from cdn2s3.settings.declaring import (
    CA_MEANING,
    IGNORED_EXAMPLE,
    IGNORED_MEANING,
    LOG_LEVELS,
    PREFIX_MEANING,
    REQUIRED,
    setting,
)
from cdn2s3.settings.parsers import (
    Headers,
    Secret,
    cache_control,
    command,
    empty_or,
    file_path,
    flag,
    general_purpose_bucket,
    header_text,
    key_part,
    matching,
    number,
    one_of,
    param_names,
    path,
    processes,
    source_headers,
    whole,
)
from cdn2s3.settings.placement import ALL, KINDS, Placement
from cdn2s3.settings.url_parsers import dask_address, endpoint, url_prefix
from cdn2s3.settings.variant_sizes import VariantSize, variant_sizes
from cdn2s3.text import MB

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


_cdn_headers = source_headers  # the parser, which a setting has the name of


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
        PREFIX_MEANING,
        "https://img1.example/=shop1/ https://img2.example/",
    )
    ignored_query_params: tuple[str, ...] = setting("", param_names, IGNORED_MEANING, IGNORED_EXAMPLE)
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
    dask_scheduler: str = setting(
        "",
        dask_address,
        "Dask scheduler whose workers move the images (docs/cluster.md); empty = this machine does",
        "tls://10.0.0.5:8786",
    )
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
    new_cdn_headers: Headers = setting(
        "",
        _cdn_headers,
        "further headers of validate.py --through to the new CDN's host, and to no other",
        "aws-cf-cd-staging: true",
    )
    cors_origin: str = setting(
        "",
        matching(r"(https?://[^/\s?#@]+)?", "an origin, such as https://www.example.com, or empty"),
        "site whose scripts may read images at the new CDN; validate.py --through asks for it; empty = not asked",
        "https://www.example.com",
    )
    ca_bundle: Path | None = setting("", empty_or(path), CA_MEANING)
    state_dir: Path = setting(".", path, "folder for all state files, logs and reports")
    notify_command: Secret = setting(
        "",
        command,
        "command that is told when a run ends, cannot go on, and of outages (docs/reliability.md); empty = none",
        "sh -c 'mail -s \"$CDN2S3_TEXT\" ops@example.com'",
    )
    log_level: str = setting("INFO", LOG_LEVELS, "least severe level to log: DEBUG, INFO, WARNING or ERROR")

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
