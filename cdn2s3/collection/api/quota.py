"""What an API's response says about its rate limit: whether this one is refused for it, and when it opens again.

APIs say it in many ways: Retry-After (whole seconds, `2.0`, a date), RateLimit-Reset, X-RateLimit-Reset and
other names with Reset, with seconds, milliseconds, an epoch, a date or `6m0s`; as 429, 420, 430, 503, as 403 with
nothing remaining, as 400 or 200 whose body says so. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any

ALWAYS = frozenset({420, 429, 430})  # statuses that mean it whatever else is said
_EPOCH = 300_000_000  # a number of seconds from here on is a time, not a wait (nine years)
_EPOCH_MS = 100_000_000_000

_NUMBER = re.compile(r"\d+(\.\d*)?|\.\d+")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+")
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_IN_STRUCTURE = re.compile(r"(?:^|[;,\s])(?:t|reset)=\"?(\d+(?:\.\d+)?)")  # RateLimit: "default";r=0;t=30
_NOTHING_IN_STRUCTURE = re.compile(r"(?:^|[;,\s])(?:r|remaining)=\"?0(?:\.0+)?\"?(?=$|[;,\s])")

_WORDS = re.compile(
    r"rate.{0,3}limit(?!ed to)|too.{0,3}many.{0,3}(requests|calls)|throttl|request.{0,3}limit.{0,3}reached",
    re.IGNORECASE,
)
_QUOTA = re.compile(
    r"quota.{0,30}(exceeded|exhausted|used)|exceeded.{0,30}quota|limit.{0,3}exceeded", re.IGNORECASE
)
_CODES = frozenset({
    "THROTTLED", "THROTTLING", "RATELIMIT", "RATELIMITED", "RATELIMITEXCEEDED", "USERRATELIMITEXCEEDED",
    "TOOMANYREQUESTS", "QUOTAEXCEEDED", "DAILYLIMITEXCEEDED", "RESOURCEEXHAUSTED", "MAXLAG", "SLOWDOWN",
    "COMPLEXITYBUDGETEXHAUSTED",
})  # fmt: skip


def is_throttled(status: int, headers: Mapping[str, str], body: bytes) -> bool:
    """Return whether a response other than 200 refuses a request for the rate of requests."""
    if status in ALWAYS:
        return True
    if status == 503:
        return "retry-after" in headers or has_nothing_left(headers)
    if status not in (400, 403):
        return False
    text = body.decode("utf-8", "replace")
    if _WORDS.search(text):
        return True
    return status == 403 and bool(
        "retry-after" in headers or has_nothing_left(headers) or _QUOTA.search(text)
    )


def throttled_in(page: object) -> bool:
    """Return whether the JSON of a 200 says that the request was refused for its rate, as GraphQL does."""
    return any(_is_throttling(error) for error in errors_in(page))


def errors_in(page: object) -> list[Any]:
    """Return what a page calls its errors: the list `errors`, or `error` alone."""
    if not isinstance(page, dict):
        return []
    errors = page.get("errors")
    if not errors:
        errors = page.get("error")
    if not errors or isinstance(errors, bool):
        return []
    return errors if isinstance(errors, list) else [errors]


def words_of(error: object) -> str:
    """Return the words of one error, empty if it has none."""
    if isinstance(error, dict):
        named = (error.get(name) for name in ("message", "info", "detail", "title", "reason", "code", "type"))
        return next((str(value) for value in named if isinstance(value, (str, int)) and value), "")
    return error if isinstance(error, str) else ""


def _is_throttling(error: object) -> bool:
    if isinstance(error, dict):
        extensions = error.get("extensions")
        inner = extensions if isinstance(extensions, dict) else {}
        codes = [place.get(name) for place in (error, inner) for name in ("code", "type", "status", "reason")]
        if any(isinstance(code, str) and re.sub("[^A-Z]", "", code.upper()) in _CODES for code in codes):
            return True
    return bool(_WORDS.search(words_of(error)))


def graphql_wait(page: object) -> float | None:
    """Return the seconds until a GraphQL API has the points that the query costs, as Shopify says; None if unknown."""
    try:
        cost = page["extensions"]["cost"]  # type: ignore[index]
        status = cost["throttleStatus"]
        lacking = float(cost["requestedQueryCost"]) - float(status["currentlyAvailable"])
        return max(0.0, lacking / float(status["restoreRate"]))
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None


def opens_in(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds until the API takes requests again, as its headers say; None when they do not.

    now is in seconds since the epoch; where the response has a Date, that is the API's own now. Where several
    limits are named, the one that has nothing remaining counts, else the one that opens first.
    """
    date = _as_date(headers.get("date", ""))
    now = now if date is None else date
    asked = _seconds(headers.get("retry-after", ""), now)
    if asked is None:
        milliseconds = _first(headers, ("retry-after-ms", "x-ms-retry-after-ms"))
        asked = float(milliseconds) / 1000 if milliseconds and _NUMBER.fullmatch(milliseconds) else None
    if asked is not None:
        return asked
    used_up: list[float] = []
    others: list[float] = []
    for name, wait in _resets(headers, now):
        (used_up if _is_used_up(headers, name) else others).append(wait)
    if used_up:
        return max(used_up)
    return min((wait for wait in others if wait > 0), default=None)


def has_nothing_left(headers: Mapping[str, str]) -> bool:
    """Return whether a header says that no request remains."""
    return any(_is_used_up(headers, name) for name in headers if re.search("limit|remaining", name.lower()))


def _resets(headers: Mapping[str, str], now: float) -> Iterator[tuple[str, float]]:
    """Yield the headers that say when a limit opens again, and the seconds until then."""
    for name, value in headers.items():
        lower = name.lower()
        if lower == "ratelimit":
            found = _IN_STRUCTURE.search(value)
            wait = float(found[1]) if found else None
        elif "reset" in re.split("[-_]", lower) and ("limit" in lower or lower.startswith("x-")):
            wait = _seconds(value, now)
            if wait is not None and lower.endswith(("-ms", "-milliseconds")):
                wait /= 1000
        else:
            continue
        if wait is not None:
            yield name, wait


def _is_used_up(headers: Mapping[str, str], name: str) -> bool:
    """Return whether the limit that a header is about has nothing left: its own name with Remaining says 0."""
    lower = name.lower()
    if lower == "ratelimit":
        return bool(_NOTHING_IN_STRUCTURE.search(headers[name]))
    remaining = lower.replace("reset", "remaining") if "reset" in lower else lower
    if "remaining" not in remaining and not remaining.endswith("-left"):
        return False
    remaining = re.sub("(-after|-ms|-time)", "", remaining)
    value = _first(
        headers, (remaining, "x-" + remaining, remaining[2:] if remaining.startswith("x-") else remaining)
    )
    return value is not None and bool(re.fullmatch(r"0+(\.0+)?(\s*[,;].*)?", value))


def _first(headers: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    return next((headers[name].strip() for name in names if name in headers), None)


def _seconds(text: str, now: float) -> float | None:
    """Return the wait that a value names: seconds, an epoch (also in milliseconds), a date, `6m0s`; None for others."""
    text = text.strip()
    if _NUMBER.fullmatch(text):
        number = float(text)
        if number >= _EPOCH_MS:
            number /= 1000
        return max(0.0, number - now) if number >= _EPOCH else number
    if _DURATION.fullmatch(text):
        return sum(float(number) * _UNITS[unit] for number, unit in _DURATION_PART.findall(text))
    date = _as_date(text)
    return None if date is None else max(0.0, date - now)


def _as_date(text: str) -> float | None:
    """Return a date in seconds since the epoch: an HTTP date or ISO 8601, in UTC where it names no zone."""
    text = text.strip()
    if len(text) < 8:
        return None
    try:
        if re.match(r"\d{4}-\d\d-\d\d", text):
            date = datetime.fromisoformat(
                re.sub(r"\.\d+", "", text.replace("Z", "+00:00").replace(" UTC", "+00:00"))
            )
        else:
            date = parsedate_to_datetime(text)
        if date.tzinfo is None:
            date = date.replace(tzinfo=timezone.utc)
        return date.timestamp()
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
