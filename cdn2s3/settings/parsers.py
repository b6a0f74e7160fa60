"""Parsers of settings: each returns the value of a text, or raises ValueError that says what is allowed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Callable
from urllib.parse import urlsplit

import jmespath

from cdn2s3 import url_prefixes

Parser = Callable[[str], Any]


class Secret:
    """Hold a value that no log, repr or report may show; `.reveal()` returns it."""

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return "***" if self._value else "(not set)"


def text(value: str) -> str:
    return value


def whole(least: int, most: int) -> Parser:
    def parse(value: str) -> int:
        if not re.fullmatch(r"\d{1,18}", value, re.ASCII) or not least <= int(value) <= most:
            raise ValueError(f"a whole number from {least} to {most}")
        return int(value)

    return parse


def number(least: float, most: float) -> Parser:
    def parse(value: str) -> float:
        allowed = f"a number from {least} to {most}"
        if not re.fullmatch(r"(\d+\.)?\d+|\.\d+", value, re.ASCII) or not least <= float(value) <= most:
            raise ValueError(allowed)
        return float(value)

    return parse


def one_of(*allowed: str) -> Parser:
    def parse(value: str) -> str:
        if value not in allowed:
            raise ValueError("one of " + ", ".join(option or "(empty)" for option in allowed))
        return value

    return parse


def flag(value: str) -> bool:
    if value.lower() not in {"true", "false"}:
        raise ValueError("true or false")
    return value.lower() == "true"


def empty_or(parse: Parser) -> Parser:
    return lambda value: parse(value) if value else None


def matching(pattern: str, allowed: str) -> Parser:
    def parse(value: str) -> str:
        if not re.fullmatch(pattern, value, re.ASCII):
            raise ValueError(allowed)
        return value

    return parse


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
    "a URL that ends in / and has no query, for example https://d111.cloudfront.net/; several with blanks between "
    "them, each with =PLACE/ where its keys go to a folder of their own"
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
            jmespath.compile(value)
        except (ValueError, RecursionError):  # JMESPathError is a ValueError; so is a number too long
            raise ValueError("a JMESPath expression, for example items[].image_url") from None
    return value


def header_name(value: str) -> str:
    return str(matching(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", "a header name")(value))


def header_text(value: str) -> str:
    return str(
        matching(
            r"[\x21-\x7e]?|[\x21-\x7e][\x20-\x7e]*[\x21-\x7e]",
            "printable ASCII, no leading or trailing spaces",
        )(value)
    )


def secret(value: str) -> Secret:
    return Secret(header_text(value))


def path(value: str) -> Path:
    if not value or "\0" in value:
        raise ValueError("a path")
    return Path(value)


def file_path(value: str) -> Path:
    if "\0" in value or not Path(value).name:
        raise ValueError("a file path")
    return Path(value)


def names(value: str) -> tuple[str, ...]:
    result = tuple(name.strip() for name in value.split(","))
    if not all(result):
        raise ValueError("names separated by commas")
    return result


def param_names(value: str) -> tuple[str, ...]:
    return names(value) if value.strip() else ()


def key_part(value: str) -> str:
    if re.search(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", value) or len(value.encode()) > 900:
        raise ValueError("at most 900 bytes of UTF-8 without control characters")
    return value


def processes(value: str) -> int | str:
    if value == "auto":
        return value
    try:
        return int(whole(1, 64)(value))
    except ValueError:
        raise ValueError("auto, or a whole number from 1 to 64") from None
