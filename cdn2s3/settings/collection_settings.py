"""The settings of collect_urls.py, from collection.env."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from cdn2s3.file_names import CHECKPOINT_FILE, URLS_FILE
from cdn2s3.settings.declaring import (
    CA_MEANING,
    IGNORED_EXAMPLE,
    IGNORED_MEANING,
    LOG_LEVELS,
    PREFIX_MEANING,
    setting,
)
from cdn2s3.settings.parsers import (
    Headers,
    Secret,
    body,
    bucket_and_prefix,
    command,
    empty_or,
    file_path,
    header_name,
    header_name_or_none,
    header_text,
    headers,
    matching,
    names,
    number,
    one_of,
    param_names,
    path,
    secret,
    statuses,
    text,
    whole,
)
from cdn2s3.settings.url_parsers import (
    detail_url,
    endpoint,
    expression,
    http_url,
    url_base,
    url_prefix,
    url_template,
)

FILE_FORMATS = (
    "auto", "json", "jsonl", "csv", "tsv", "list", "sitemap", "xml", "html", "s3-inventory", "parquet",
)  # fmt: skip


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
        PREFIX_MEANING,
        "https://img1.example/=shop1/ https://img2.example/",
    )
    ignored_query_params: tuple[str, ...] = setting("", param_names, IGNORED_MEANING, IGNORED_EXAMPLE)
    expected_total: int | None = setting(
        "", empty_or(whole(1, 10**12)), "lines expected in OUTPUT_FILE; empty = no check", "4000000"
    )
    default_region: str = setting(
        "us-west-2",
        matching(r"[a-z]{2}(-[a-z]+)+-\d", "an AWS region"),
        "region to recommend when the CDN's edge location is unknown",
    )
    ca_bundle: Path | None = setting("", empty_or(path), CA_MEANING)
    notify_command: Secret = setting(
        "",
        command,
        "command that is told when a run ends, cannot go on, and of outages (docs/reliability.md); empty = none",
        "sh -c 'mail -s \"$CDN2S3_TEXT\" ops@example.com'",
    )
    log_level: str = setting("INFO", LOG_LEVELS, "least severe level to log: DEBUG, INFO, WARNING or ERROR")
