"""Parsers of settings: each returns the value of a text, or raises ValueError that says what is allowed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any, Callable

from cdn2s3.settings import cache_control as caching
from cdn2s3.settings.places import is_json, json_with_places

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


def general_purpose_bucket(pattern: str, allowed: str) -> Parser:
    """Return a parser of bucket names that refuses directory buckets (S3 Express One Zone).

    They take no Content-MD5, sign with a session, and list in no order (S3 User Guide, "Differences for directory
    buckets"); their names end so ("Directory bucket naming rules").
    """
    parse_any = matching(pattern, allowed)

    def parse(value: str) -> str:
        if re.search(r"--xa?-s3$", value):
            raise ValueError(
                "a general purpose bucket: directory buckets (S3 Express One Zone) are not supported"
            )
        return str(parse_any(value))

    return parse


def header_name(value: str) -> str:
    return str(matching(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", "a header name")(value))


def header_name_or_none(value: str) -> str:
    return header_name(value) if value else ""


def header_text(value: str) -> str:
    return str(
        matching(
            r"[\x21-\x7e]?|[\x21-\x7e][\x20-\x7e]*[\x21-\x7e]",
            "printable ASCII, no leading or trailing spaces",
        )(value)
    )


def cache_control(value: str) -> str:
    """Return value, which cache_control.policy() understands."""
    caching.policy(header_text(value))
    return value


def secret(value: str) -> Secret:
    return Secret(header_text(value))


class Headers(Secret):
    """HTTP headers, whose values no log, repr or report may show."""

    def __init__(self, value: str, pairs: tuple[tuple[str, str], ...]) -> None:
        super().__init__(value)
        self.pairs = pairs

    def __repr__(self) -> str:
        return " | ".join(f"{name}: ***" for name, _ in self.pairs) or super().__repr__()


_OF_THE_CONNECTION = frozenset(
    {"host", "connection", "content-length", "transfer-encoding", "accept-encoding"}
)


def headers(value: str) -> Headers:
    """Return the headers in value: `Name: value`, several separated by `|`; a `|` within a value stays."""
    allowed = (
        "headers as Name: value, separated by |, for example X-Shop: 5 | Accept: application/vnd.api+json"
    )
    pairs = []
    for line in re.split(r"\s*\|\s*(?=[A-Za-z0-9!#$%&'*+.^_`~-]+:)", value) if value else []:
        name, colon, text_of = line.partition(":")
        try:
            pairs.append((header_name(name.strip()), header_text(text_of.strip())))
        except ValueError:
            raise ValueError(allowed) from None
        if not colon or not text_of.strip():
            raise ValueError(allowed)
        if name.strip().lower() in _OF_THE_CONNECTION:
            raise ValueError(f"headers without {name.strip()}, which the client sets itself")
    if len({name.lower() for name, _ in pairs}) < len(pairs):
        raise ValueError(allowed + "; no header twice")
    return Headers(value, tuple(pairs))


_CHANGES_THE_BODY = re.compile(r"range|if-.*|expect|upgrade|te|trailer|proxy-.*|content-.*", re.IGNORECASE)


def source_headers(value: str) -> Headers:
    """Return the headers in value as headers() does; none with which a CDN would send less than the whole file."""
    found = headers(value)
    for name, _ in found.pairs:
        if _CHANGES_THE_BODY.fullmatch(name):
            raise ValueError(f"headers without {name}, with which the CDN might not send the whole file")
    return found


def command(value: str) -> Secret:
    """Return a command line, kept secret as it may hold a password; may be empty."""
    try:
        words = shlex.split(value)
    except ValueError:
        words = []
    if (value and not words) or not value.isprintable() or "\0" in value:
        raise ValueError("a command as a shell splits it, in one line, each quote closed")
    return Secret(value)


def body(value: str) -> Secret:
    """Return the body of a request: value, or what is in the file after an @. It may contain a key."""
    if value.startswith("@"):
        try:
            value = Path(value[1:]).read_text(encoding="utf-8-sig")
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "not UTF-8"
            raise ValueError(f"a body, or @ and a file that can be read ({value[1:]}: {why})") from None
    if is_json(value):
        try:
            json_with_places(value)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"JSON, since it begins with {value.lstrip()[:1]} ({error})") from None
    return Secret(value)


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


def statuses(value: str) -> tuple[int, ...]:
    """Return the HTTP statuses in value; none that says OK, asks to come again, or refuses the token."""
    found = [word for word in re.split(r"[\s,]+", value) if word]
    for word in found:
        is_status = re.fullmatch("[2-5][0-9]{2}", word, re.ASCII)
        if not is_status or 300 <= int(word) < 400 or int(word) in (200, 401, 408, 425, 429):
            raise ValueError(
                "HTTP statuses separated by commas, for example 400,404; not 200, 3xx, 401 or 429"
            )
    return tuple(map(int, found))


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


def bucket_and_prefix(value: str) -> str:
    bucket, slash, prefix = value.removeprefix("s3://").partition("/") if value else ("", "", "")
    if value and not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", bucket):
        raise ValueError("a bucket name, optionally with a slash and a prefix: their-bucket/images/")
    key_part(prefix)
    return f"{bucket}{slash}{prefix}"
