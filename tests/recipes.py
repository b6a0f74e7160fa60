"""Run collect_urls.py in this process, with the recipes of docs/recipes/ put onto local servers."""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import os
import re
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import collect_urls
from cdn2s3.console.signals import STOPPING
from cdn2s3.http import requests_adapter
from cdn2s3.settings.env_file import read_env_file
from tests import ROOT
from tests.fakes.api_shapes import Site

RECIPES = {path.stem: path for path in sorted((ROOT / "docs" / "recipes").glob("*.env"))}
QUICK = {  # what a test of seconds needs, in place of a recipe's own: pages of three, no waits
    "API_RATE_LIMIT": "1000",
    "API_TIMEOUT": "5",
    "MAX_RETRIES": "2",
    "RESULTS_PER_PAGE": "3",
}


_tls_context = functools.lru_cache(requests_adapter.tls_context)


class Collected(NamedTuple):
    """A collection that has ended."""

    code: int
    urls: list[str]  # the lines of urls.txt
    out: str
    said: str  # what a person saw


def settings_of(recipe: str) -> dict[str, str]:
    """Return the settings of a recipe as they stand in it."""
    return read_env_file(RECIPES[recipe])


def localized(settings: Mapping[str, str], site: Site) -> dict[str, str]:
    """Return settings whose hosts are the local server's, with URL_PREFIX at its folder of images."""
    prefixes = settings.get("URL_PREFIX", "").split()

    def put(value: str) -> str:
        for prefix in prefixes:
            value = value.replace(prefix, site.cdn)
            if value == prefix.rstrip("/"):  # a base without its slash
                value = site.cdn.rstrip("/")
        value = re.sub(r"https://[A-Za-z0-9.-]+\.[a-z]+(?=[/?{]|$)", site.origin, value)
        return value.replace("https://{", "http://{")

    return {name: put(value) for name, value in settings.items()}


def collect(folder: Path, settings: Mapping[str, str], arguments: Sequence[str] = ()) -> Collected:
    """Run collect_urls.py in folder, a fresh one, to its end."""
    quoted = {name: f"'{value}'" if value[:1] == '"' else value for name, value in settings.items()}
    lines = "".join(f"{name}={value}\n" for name, value in quoted.items())
    (folder / "collection.env").write_text(lines, encoding="utf-8")
    out, err = io.StringIO(), io.StringIO()
    with _as_a_process(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = collect_urls.main(list(arguments))
        except SystemExit as ended:  # of argparse
            code = int(str(ended.code))
    urls = folder / "urls.txt"
    lines_found = urls.read_text(encoding="utf-8").splitlines() if urls.exists() else []
    return Collected(code, lines_found, out.getvalue(), err.getvalue() + out.getvalue())


@contextlib.contextmanager
def _as_a_process(folder: Path) -> Iterator[None]:
    """Work in folder, and take back what a script does to its process: handlers of the log and of signals."""
    root, before = logging.getLogger(), Path.cwd()
    handlers, level = list(root.handlers), root.level
    signals = {number: signal.getsignal(number) for number in STOPPING}
    real = os.fsync, requests_adapter.tls_context
    os.fsync = lambda fd: None  # a disk that syncs, and certificates read anew, take longer than all the rest
    requests_adapter.tls_context = _tls_context
    root.handlers.clear()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
        os.fsync, requests_adapter.tls_context = real
        for number, handler in signals.items():
            signal.signal(number, handler)
        for own in root.handlers:
            own.close()
        root.handlers[:] = handlers
        root.setLevel(level)
