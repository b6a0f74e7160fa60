"""The addresses that the objects have at a new CDN: NEW_BASE, and the key percent-encoded after it. Pure.

A key's `+` becomes `%2B`: S3 reads a raw `+` in a path as a blank.
"""

from __future__ import annotations

import argparse
import re
from urllib.parse import quote, urlsplit

from cdn2s3.settings.declarations import MigrationSettings

_HOST = r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?"
_BASE = re.compile(
    rf"https?://{_HOST}(?:/(?:[A-Za-z0-9._~!$&'()*,;=:@/-]|%[0-9A-Fa-f]{{2}})*)?", re.IGNORECASE
)


HTTP_PORTS = {443: 80}  # of an https port, the port at which its host answers http


def new_base(text: str) -> str:
    """Return text, a NEW_BASE, with a slash at its end; raise ArgumentTypeError where it cannot be one."""
    if not _BASE.fullmatch(text):
        raise argparse.ArgumentTypeError(
            "must be the beginning of the new URLs, such as https://img.example.com/, in ASCII, without a query"
        )
    try:
        port = urlsplit(text).port
    except ValueError:
        port = 0
    if port == 0:
        raise argparse.ArgumentTypeError("its port must be a number from 1 to 65535")
    scheme, rest = text.split("://", 1)
    base = f"{scheme.lower()}://{rest}"
    return base if "/" in rest and base.endswith("/") else f"{base}/"


def encoded(key: str) -> str:
    """Return key as a URL's path: each byte of its UTF-8 but A-Z a-z 0-9 - . _ ~ / percent-encoded."""
    return quote(key, safe="/")


def new_url(base: str, key: str) -> str:
    """Return the URL of key under base, a result of new_base()."""
    return base + encoded(key)


def plain_url(url: str) -> str:
    """Return url with http, "" where nobody knows at which port its host answers that."""
    parts = urlsplit(url)
    port = HTTP_PORTS.get(parts.port or 443) if parts.scheme == "https" else None
    if port is None:
        return ""
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    rest = url[url.index(parts.netloc) + len(parts.netloc) :]
    return f"http://{host}{'' if port == 80 else f':{port}'}{rest}"


def bucket_url(settings: MigrationSettings, key: str) -> str:
    """Return the address of key in the bucket, for a request without a signature."""
    bucket, region = settings.destination_bucket, settings.aws_region
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    endpoint = (settings.aws_endpoint_url or f"https://s3.{region}.{suffix}").rstrip("/")
    is_virtual = settings.s3_addressing_style == "virtual" or not (settings.aws_endpoint_url or "." in bucket)
    if is_virtual and settings.s3_addressing_style != "path":
        scheme, host = endpoint.split("://", 1)
        return f"{scheme}://{bucket}.{host}/{encoded(key)}"
    return f"{endpoint}/{bucket}/{encoded(key)}"
