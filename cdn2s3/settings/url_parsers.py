"""Parsers of settings that are URLs, patterns of URLs, or JMESPath expressions."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import jmespath
from jmespath.functions import Functions

from cdn2s3 import url_prefixes
from cdn2s3.settings.parsers import key_part
from cdn2s3.text import pluralize, printable


def http_url(value: str) -> str:
    allowed = "an http:// or https:// URL in printable ASCII, without user, password or spaces"
    if not re.fullmatch(r"https?://[\x21-\x7e]+", value):  # urlsplit would drop or fold the rest
        raise ValueError(allowed)
    try:
        parts = urlsplit(value)
        port_is_a_number = parts.port is None or parts.port > 0
    except ValueError:
        raise ValueError(allowed) from None
    if not parts.hostname or not port_is_a_number or "@" in parts.netloc or "\\" in value:
        raise ValueError(allowed)
    return value


def endpoint(value: str) -> str:
    if "?" in value or "#" in value:
        raise ValueError("a URL without a query, for example https://s3.example.com")
    return http_url(value)


_PREFIX_ALLOWED = (
    "a URL that ends in / and has no query, for example https://d111.cloudfront.net/; several, separated by "
    "spaces, each with =PLACE/ if its keys go to their own folder"
)


def url_prefix(value: str) -> str:
    if not value.split() or "?" in value or "#" in value:
        raise ValueError(_PREFIX_ALLOWED)
    try:
        prefixes = url_prefixes.parse(value)
    except ValueError as error:
        raise ValueError(f"{_PREFIX_ALLOWED}; {error}") from None
    for prefix in prefixes:
        if not prefix.url.endswith("/"):
            raise ValueError(_PREFIX_ALLOWED)
        http_url(prefix.url)
        key_part(prefix.place)
    return " ".join(value.split())


def expression(value: str) -> str:
    if value:
        try:
            parsed = jmespath.compile(value).parsed
            wrong = _wrong_call(parsed)
        except (ValueError, RecursionError):  # JMESPathError is a ValueError; so is a number too long
            raise ValueError("a JMESPath expression, for example items[].image_url") from None
        if wrong:
            raise ValueError(f"a JMESPath expression; {wrong}")
    return value


def _wrong_call(node: Any) -> str:
    """Return what is wrong with a function call in a parsed JMESPath expression; empty if nothing is."""
    if not isinstance(node, dict):
        return ""
    children = node.get("children", [])
    if node["type"] == "function_expression":
        known = Functions.FUNCTION_TABLE.get(node["value"])
        if known is None:
            return f"there is no function {printable(node['value'])}()"
        wanted = known["signature"]
        is_open = bool(wanted) and bool(wanted[-1].get("variadic"))
        if len(children) < len(wanted) or (len(children) > len(wanted) and not is_open):
            return f"{node['value']}() takes {pluralize(len(wanted), 'argument')}, not {len(children)}"
    return next(filter(None, map(_wrong_call, children)), "")


def url_base(value: str) -> str:
    allowed = "a URL without a query, for example https://cdn.example.com/media"
    if "?" in value or "#" in value:
        raise ValueError(allowed)
    try:
        return http_url(value)
    except ValueError:
        raise ValueError(allowed) from None


def detail_url(value: str) -> str:
    allowed = (
        "a URL with {id} in its path or query, or {id} alone, for example https://api.example.com/items/{id}"
    )
    if value in ("", "{id}"):
        return value
    try:
        parts = urlsplit(http_url(value))
    except ValueError:
        raise ValueError(allowed) from None
    if "{id}" not in parts.path + parts.query or "{" in parts.netloc:
        raise ValueError(allowed)
    return value


def url_template(value: str) -> str:
    """Return value, a URL with JMESPath expressions in braces; may be empty."""
    allowed = (
        "text with a JMESPath expression in each pair of braces, for example https://cdn.example/{id}.jpg"
    )
    rest, fields = re.sub(r"\{[^{}]*\}", "", value), re.findall(r"\{([^{}]*)\}", value)
    if "{" in rest or "}" in rest or re.search(r"[\x00-\x20\x7f-\x9f]", rest) or (value and not fields):
        raise ValueError(allowed)
    for field in fields:
        if not field.strip():
            raise ValueError(allowed)
        expression(field)
    return value


def dask_address(value: str) -> str:
    """Return the address of a Dask scheduler; may be empty."""
    allowed = "tls:// or tcp://, a host and a port, for example tls://10.0.0.5:8786"
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError(allowed) from None
    if value and (
        parts.scheme not in ("tls", "tcp")
        or not re.fullmatch(r"[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]", parts.netloc.rpartition(":")[0])
        or not port
        or value != f"{parts.scheme}://{parts.netloc}"
    ):
        raise ValueError(allowed)
    return value
