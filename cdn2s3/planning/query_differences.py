"""What tells two colliding URLs apart that differ only in the query, as it may be shown: without secrets. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from cdn2s3.keys import divided
from cdn2s3.query_params import may_be_secret, name_of
from cdn2s3.text import printable, redact
from cdn2s3.url_prefixes import located

_MOST_SHOWN = 100  # characters of a value

Pair = tuple[str, str]  # two URLs with one key


def differing_params(pair: Pair) -> list[str]:
    """Return the parameters in which the URLs of pair differ, none where they differ in more than the query."""
    first, second = (located(_base(url)) for url in pair)
    if first is None or first != second:
        return []
    one, other = (_params(url) for url in pair)
    return [name for name in dict.fromkeys([*one, *other]) if one.get(name) != other.get(name)]


def telling_params(pairs: Iterable[Pair]) -> list[str]:
    """Return a parameter that tells each of pairs apart that differs only in the query; none that may be secret."""
    public = ([name for name in differing_params(pair) if not may_be_secret(name)] for pair in pairs)
    return list(dict.fromkeys(names[0] for names in public if names))


def told_apart(pair: Pair) -> list[str]:
    """Return both URLs as they may be shown: of the query only what tells them apart and is no secret."""
    names = [name for name in differing_params(pair) if not may_be_secret(name)]
    return [_shown(url, names) for url in pair]


def _shown(url: str, names: list[str]) -> str:
    params = _params(url)
    values = [f"{name}={value[:_MOST_SHOWN]}" for name in names for value in params.get(name, [])]
    hidden = ["***"] if params.keys() - set(names) else []
    query = "&".join([*values, *hidden])
    return printable(f"{redact(_base(url))}{'?' if query else ''}{query}")


def _base(url: str) -> str:
    return divided(url)[0].partition("#")[0].partition("?")[0]


def _params(url: str) -> dict[str, list[str]]:
    """Return the values of each parameter in the query of a line's URL."""
    found: dict[str, list[str]] = {}
    for param in divided(url)[0].partition("#")[0].partition("?")[2].split("&"):
        if param:
            found.setdefault(name_of(param), []).append(param.partition("=")[2])
    return found
