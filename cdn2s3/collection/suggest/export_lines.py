"""The settings that the head of an export suggests: its format, the fields that have image URLs, their hosts.

The readers of SOURCE=files read it, with nothing named in URL_COLUMNS: what they take here they take in a collection.
"""

from __future__ import annotations

import glob
import itertools
import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cdn2s3.collection.files import picker
from cdn2s3.collection.files.byte_stream import ByteStream, Unreadable
from cdn2s3.collection.files.detection import format_of
from cdn2s3.collection.files.formats import Choice, open_reader, records_of
from cdn2s3.collection.files.inventory import DataFile
from cdn2s3.collection.files.records import Start
from cdn2s3.collection.files.text_lines import encoding_of
from cdn2s3.collection.suggest.proposal import Line, Proposal
from cdn2s3.collection.url_building import UrlBuilder
from cdn2s3.errors import UsageError

_MOST_RECORDS = 5000
_MOST_SHOWN = 6  # fields, and hosts
_ANY_URL = "https://"  # a URL_PREFIX under which every URL lies


class _Recorder(picker.Picker):
    """A picker that remembers which fields it took URLs from."""

    def __init__(self) -> None:
        super().__init__((), "", UrlBuilder("", ""), _ANY_URL)
        self.fields: Counter[str] = Counter()
        self._inside = False

    def take(self, path: picker.Path, text: str, into: list[Any]) -> None:
        self._recorded(super().take, path, text, into)

    def take_wanted(self, path: picker.Path, text: str, into: list[Any]) -> None:
        self._recorded(super().take_wanted, path, text, into)

    def _recorded(self, take: picker.Take, path: picker.Path, text: str, into: list[Any]) -> None:
        before, is_outermost = len(into), not self._inside
        self._inside = True
        try:
            take(path, text, into)
        finally:
            self._inside = not is_outermost
        if is_outermost and path:
            self.fields[path[-1]] += sum(isinstance(url, str) for url in into[before:])


def propose(source: str) -> Proposal:
    """Return what the head of a file suggests, or of the first that a glob matches.

    Raise UsageError when it cannot be read.
    """
    path, pattern = _file_of(source)
    recorder = _Recorder()
    try:
        with ByteStream(path) as stream:
            head = stream.head()
        file_format = format_of(path.name, head, encoding_of(head)[0])
        choice = Choice(file_format, "", "", _ANY_URL, UrlBuilder("", ""))
        with ByteStream(path) as stream:
            part = DataFile(path, (), is_parquet=False)
            reader = records_of(open_reader(part, stream, choice, recorder, Start()))
            records = list(itertools.islice(reader, _MOST_RECORDS))
    except Unreadable as error:
        raise UsageError(f"--suggest {source}: it cannot be read: {error}.") from error
    urls = [url for record in records for url in record.urls if isinstance(url, str)]
    doubts = [record.doubt for record in records if record.doubt]
    lines = [
        Line("SOURCE", "files", ""),
        Line("FILES", pattern, ""),
        Line("FILE_FORMAT", file_format, f"{len(records):,} records read, {len(urls):,} URLs found"),
        Line("URL_COLUMNS", "", _taken(recorder), is_guess=bool(recorder.fields)),
    ]
    notes = [f"{doubt}" for doubt in doubts[:3]] + _passed_over(recorder)
    return Proposal([*lines, *_prefix(urls)], notes if urls else [*notes, _nothing(recorder)])


def _file_of(source: str) -> tuple[Path, str]:
    """Return the file to read, and what FILES must be."""
    path = Path(source)
    if path.is_file():
        return path, glob.escape(source)
    found = sorted(name for name in glob.iglob(source, recursive=True) if Path(name).is_file())  # noqa: PTH207
    if found:
        return Path(found[0]), source
    what = "a folder: name a file in it, or a glob such as 'folder/*.json'" if path.is_dir() else "no file"
    raise UsageError(f"--suggest {source}: it is {what}. Give the address of an API, or a file.")


def _taken(recorder: _Recorder) -> str:
    """Return which fields URLs are taken from while URL_COLUMNS is empty."""
    named = [f"{name} ({count})" for name, count in recorder.fields.most_common(_MOST_SHOWN) if count]
    if not named:
        return "empty: what looks like an image is taken"
    return (
        f"empty: what looks like an image is taken, here of {', '.join(named)}; to take less, name the fields"
    )


def _passed_over(recorder: _Recorder) -> list[str]:
    return [
        f"{what} ({note.times}), such as {note.example[:100]}"
        for what, note in list(recorder.notes.found.items())[:_MOST_SHOWN]
        if what.startswith(picker.PASSED_OVER)
    ]


def _nothing(recorder: _Recorder) -> str:
    return (
        "no URL of an image was found. If a field has names or paths of images, set URL_COLUMNS to it, and "
        "API_URL_BASE (or API_URL_TEMPLATE) to what completes them"
    )


def _prefix(urls: Iterable[str]) -> list[Line]:
    hosts = Counter("{0.scheme}://{0.netloc}/".format(urlsplit(url)) for url in urls if "://" in url)
    if not hosts:
        return []
    named = [host for host, _ in hosts.most_common(_MOST_SHOWN)]
    said = ", ".join(f"{urlsplit(host).netloc} ({hosts[host]})" for host in named)
    more = f" and {len(hosts) - len(named)} more" if len(hosts) > len(named) else ""
    return [Line("URL_PREFIX", " ".join(named), f"the hosts of the URLs: {said}{more}", is_guess=bool(more))]


def propose_body(url: str, body: bytes) -> Proposal:
    """Return what an answer suggests that is no JSON: a sitemap, or an export to be downloaded first."""
    head = body[:4096].decode("utf-8", "replace")
    if re.search(r"<(\w+:)?(urlset|sitemapindex)\b", head):
        origin = "{0.scheme}://{0.netloc}/".format(urlsplit(url))
        hosts = re.findall(r"<image:loc>\s*(https?://[^/\s<]+/)", body.decode("utf-8", "replace"))
        prefix = " ".join(dict.fromkeys(hosts)) or origin
        return Proposal(
            [
                Line("SOURCE", "sitemap", "it is a sitemap"),
                Line("SITEMAP_URL", url, ""),
                Line(
                    "URL_PREFIX",
                    prefix,
                    "the host of the images" if hosts else "the sitemap's host",
                    not hosts,
                ),
            ],
            [],
        )
    name = os.path.basename(urlsplit(url).path) or "export"  # noqa: PTH119
    return Proposal([], [f"the response isn't JSON. If it is an export, download it, then --suggest {name}"])
