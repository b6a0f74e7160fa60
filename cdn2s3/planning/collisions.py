"""Collisions, different URLs with one key: a file of all of them, a few to show, and the settings that end them."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from cdn2s3.atomic_file import replacing
from cdn2s3.console.rerun_hint import settings_file
from cdn2s3.keys import InvalidUrl, divided
from cdn2s3.planning.survey import OnCollision, UrlSurvey
from cdn2s3.query_params import may_be_secret, name_of
from cdn2s3.settings.declarations import MigrationSettings, key_maker
from cdn2s3.state.lines import encode
from cdn2s3.state.run_binding import is_bound
from cdn2s3.text import printable, redact
from cdn2s3.url_prefixes import located

_MOST_SHOWN = 100  # characters of a value or a key in an example


class Collision(NamedTuple):
    """Two URLs that would become one object."""

    key: str
    first: str
    second: str


@contextmanager
def collisions_file(path: Path) -> Iterator[OnCollision]:
    """Yield a function that writes a collision to path; without any, path is removed."""
    any_found = False
    with replacing(path) as file:

        def on_collision(key: str, first: str, url: str) -> None:
            nonlocal any_found
            any_found = True
            file.write(encode((key, divided(first)[0], divided(url)[0])))

        yield on_collision
    if not any_found:
        path.unlink()


def collisions_text(
    settings: MigrationSettings, count: int, shown: list[Collision], file: Path | None = None
) -> list[str]:
    """Return the lines that show how to end count collisions, with settings that can be pasted.

    shown are some of the collisions; file lists all of them, if there is one.
    """
    lines = [
        f"{count:,} URLs would overwrite another one: different URLs with the same key. Nothing was moved."
    ]
    for pair in shown:
        lines += [f"  {pair.key}", *(f"    {url}" for url in told_apart(pair))]
    names = dict.fromkeys(name for pair in shown for name in _differing(pair))
    if names:
        lines.append(
            f"Some of them differ only in the query, in {', '.join(map(printable, names))}: different images if that "
            "chooses the image, the same one if it is a version or a signature."
        )
    all_of_them = f"{file} lists all of them. " if file else ""
    lines.append(f"{all_of_them}Change one of these lines in {settings_file()}:")
    for setting, meaning in remedies(settings, shown):
        lines += ["", f"# {meaning}", setting]
        if is_bound(settings) and not setting.startswith(("ON_COLLISION", "IGNORED_QUERY_PARAMS")):
            lines += ["# and, because this state belongs to the old keys, a new one", "STATE_DIR=state2"]
    return lines


def remedies(settings: MigrationSettings, collisions: Iterable[Collision]) -> list[tuple[str, str]]:
    """Return the lines for the settings file that end these collisions, best first, each with what it does."""
    params = telling_params(collisions := list(collisions))
    by_query: list[tuple[str, str]] = []
    if params:
        names = tuple(dict.fromkeys([*settings.key_query_params, *params]))
        joined = dataclasses.replace(settings, key_query_params=names)
        if _apart(joined, [pair for pair in collisions if _differing(pair)]):
            by_query.append((f"KEY_QUERY_PARAMS={','.join(names)}", _example(joined, collisions)))
    every = [name for pair in collisions for name in _differing(pair)]
    if every:
        ignored = ",".join(dict.fromkeys([*settings.ignored_query_params, *every]))
        by_query.append(
            (f"IGNORED_QUERY_PARAMS={ignored}", "or, if they are one image: the newest URL of each is moved")
        )
    found = [
        (line, meaning)
        for line, changed, meaning in (
            (
                "PRESERVE_PATH_STRUCTURE=true",
                dataclasses.replace(settings, preserve_path_structure=True),
                "the key is the URL's path: every image gets its own object",
            ),
            (
                "STRIP_PATH_PREFIX=",
                dataclasses.replace(settings, strip_path_prefix=""),
                "the key is the URL's whole path",
            ),
        )
        if changed != settings and _apart(changed, collisions)
    ]
    last = ("ON_COLLISION=first", "the first URL of each key wins, the others fail as `collision`")
    return [*found[:1], *by_query, last]


def _example(settings: MigrationSettings, collisions: Iterable[Collision]) -> str:
    """Return what KEY_QUERY_PARAMS does to the first pair that it tells apart."""
    keys = key_maker(settings)
    pair = next(pair for pair in collisions if _differing(pair))
    first, second = (_shown_key(keys.address(url).key) for url in pair[1:])
    return f"the values join the key, for example {first} and {second}"


def _shown_key(key: str) -> str:
    return key if len(key) <= _MOST_SHOWN else f"{key[:_MOST_SHOWN]}…"


def _params(url: str) -> dict[str, list[str]]:
    """Return the values of each parameter in the query of a line's URL."""
    found: dict[str, list[str]] = {}
    for param in divided(url)[0].partition("#")[0].partition("?")[2].split("&"):
        if param:
            found.setdefault(name_of(param), []).append(param.partition("=")[2])
    return found


def _differing(pair: Collision) -> list[str]:
    """Return the parameters in which the URLs of pair differ, none where they differ in more than the query."""
    first, second = (located(divided(url)[0].partition("?")[0].partition("#")[0]) for url in pair[1:])
    if first is None or second is None or first != second:
        return []
    one, other = _params(pair.first), _params(pair.second)
    return [name for name in dict.fromkeys([*one, *other]) if one.get(name) != other.get(name)]


def telling_params(collisions: Iterable[Collision]) -> list[str]:
    """Return a parameter that tells each pair of collisions apart that differs only in the query; no secret ones."""
    public = ([name for name in _differing(pair) if not may_be_secret(name)] for pair in collisions)
    return list(dict.fromkeys(names[0] for names in public if names))


def told_apart(pair: Collision) -> list[str]:
    """Return both URLs as they may be shown: of the query only what tells them apart and is no secret."""
    names = [name for name in _differing(pair) if not may_be_secret(name)]
    shown = []
    for url, params in ((pair.first, _params(pair.first)), (pair.second, _params(pair.second))):
        values = [f"{name}={value[:_MOST_SHOWN]}" for name in names for value in params.get(name, [])]
        base = redact(divided(url)[0].partition("#")[0].partition("?")[0])
        rest = len(params) > len([name for name in names if name in params])
        query = "&".join([*values, *(["***"] if rest else [])])
        shown.append(printable(f"{base}{'?' if query else ''}{query}"))
    return shown


def _apart(settings: MigrationSettings, collisions: Iterable[Collision]) -> bool:
    keys = key_maker(settings)
    try:
        return all(keys.address(pair.first).key != keys.address(pair.second).key for pair in collisions)
    except InvalidUrl:
        return False


log = logging.getLogger(__name__)


def warn_of_naming(settings: MigrationSettings, work: UrlSurvey) -> None:
    """Warn of settings that are allowed, but give keys that hardly anybody wants."""
    prefix, strip = settings.destination_prefix, settings.strip_path_prefix
    if prefix and not prefix.endswith("/"):
        log.warning(
            "DESTINATION_PREFIX=%s does not end in /: keys begin with %sNAME, not %s/NAME", *[prefix] * 3
        )
    if prefix.startswith("/"):
        log.warning("DESTINATION_PREFIX=%s begins with /, and so does every key", prefix)
    if strip and not settings.preserve_path_structure:
        log.warning("STRIP_PATH_PREFIX is not used: it needs PRESERVE_PATH_STRUCTURE=true")
    if work.unstripped and work.unstripped == work.pending + work.done:
        hint = " (a path is compared without its leading /)" if strip.startswith("/") else ""
        log.warning("STRIP_PATH_PREFIX=%s does not start any URL's path%s", strip, hint)
    elif work.unstripped:
        log.warning("%d URLs lack STRIP_PATH_PREFIX and keep their whole path", work.unstripped)
