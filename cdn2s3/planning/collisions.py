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
from cdn2s3.planning.query_differences import Pair, differing_params, telling_params, told_apart
from cdn2s3.planning.survey import OnCollision, UrlSurvey
from cdn2s3.settings.declarations import MigrationSettings, key_maker
from cdn2s3.state.lines import encode
from cdn2s3.state.run_binding import is_bound
from cdn2s3.text import pluralize, printable

_MOST_SHOWN = 100  # characters of a key in an example

log = logging.getLogger(__name__)


class Collision(NamedTuple):
    """Two URLs that would become one object."""

    key: str
    first: str
    second: str

    @property
    def urls(self) -> Pair:
        """Both URLs."""
        return self.first, self.second


class Remedy(NamedTuple):
    """A change of the settings that ends collisions."""

    line: str  # for the settings file
    meaning: str  # one clause
    changes_keys: bool  # True: a state that is bound to the old keys cannot go on with it


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
        f"{pluralize(count, 'URL')} would overwrite another one: different URLs with the same key. Nothing was moved."
    ]
    for pair in shown:
        lines += [f"  {pair.key}", *(f"    {url}" for url in told_apart(pair.urls))]
    names = dict.fromkeys(name for pair in shown for name in differing_params(pair.urls))
    if names:
        lines.append(
            f"Some of them differ only in the query, in {', '.join(map(printable, names))}: different images if that "
            "chooses the image, the same one if it is a version or a signature."
        )
    all_of_them = f"{file} lists all of them. " if file else ""
    lines.append(f"{all_of_them}Change one of these lines in {settings_file()}:")
    for remedy in remedies(settings, shown):
        lines += ["", f"# {remedy.meaning}", remedy.line]
        if remedy.changes_keys and is_bound(settings):
            lines += [
                "# and, because the current state belongs to the old keys, a new STATE_DIR",
                "STATE_DIR=state2",
            ]
    return lines


def remedies(settings: MigrationSettings, collisions: Iterable[Collision]) -> list[Remedy]:
    """Return the changes of the settings that end these collisions, best first."""
    collisions = list(collisions)
    found = [
        Remedy(line, meaning, changes_keys=True)
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
    last = Remedy(
        "ON_COLLISION=first",
        "the first URL of each key wins, the others fail as `collision`",
        changes_keys=False,
    )
    return [*found[:1], *_by_query(settings, collisions), last]


def _by_query(settings: MigrationSettings, collisions: list[Collision]) -> list[Remedy]:
    """Return the remedies for pairs that differ only in the query."""
    pairs = [pair for pair in collisions if differing_params(pair.urls)]
    if not pairs:
        return []
    found = []
    telling = tuple(dict.fromkeys([*settings.key_query_params, *telling_params(pair.urls for pair in pairs)]))
    joined = dataclasses.replace(settings, key_query_params=telling)
    if _apart(joined, pairs):
        keys = key_maker(joined)
        first, second = (printable(keys.address(url).key[:_MOST_SHOWN]) for url in pairs[0].urls)
        meaning = f"the values join the key, for example {first} and {second}"
        found.append(Remedy(f"KEY_QUERY_PARAMS={','.join(telling)}", meaning, changes_keys=True))
    every = (name for pair in pairs for name in differing_params(pair.urls))
    ignored = ",".join(dict.fromkeys([*settings.ignored_query_params, *every]))
    meaning = "if they are one image each: the newest URL of each is moved"
    return [*found, Remedy(f"IGNORED_QUERY_PARAMS={ignored}", meaning, changes_keys=False)]


def _apart(settings: MigrationSettings, collisions: Iterable[Collision]) -> bool:
    keys = key_maker(settings)
    try:
        return all(keys.address(pair.first).key != keys.address(pair.second).key for pair in collisions)
    except InvalidUrl:
        return False


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
        log.warning("no URL's path starts with STRIP_PATH_PREFIX=%s%s", strip, hint)
    elif work.unstripped:
        lacking = pluralize(
            work.unstripped,
            "URL lacks STRIP_PATH_PREFIX and keeps its whole path",
            "URLs lack STRIP_PATH_PREFIX and keep their whole path",
        )
        log.warning("%s", lacking)
