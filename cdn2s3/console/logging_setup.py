"""Logging for the three scripts: one file and the console, without secrets in either."""

from __future__ import annotations

import functools
import logging
import os
import sys
import time
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Callable, TextIO, TypeVar, cast

from cdn2s3.atomic_file import OWNER_ONLY, cannot_write
from cdn2s3.text import printable, redact

log = logging.getLogger(__name__)

_FORMAT = "%(asctime)s %(levelname)-7s %(message)s"
# Their DEBUG lines hold URLs with queries and whole headers.
_TALKATIVE = ("urllib3", "botocore", "boto3", "s3transfer", "requests", "asyncio", "tornado")
# It warns with a traceback, for every request, about credentials that cannot be renewed. The run itself reports
# what then stops it.
_ALARMED = "botocore.credentials"


class _OneCleanLine(logging.Formatter):
    """Format a record: URLs without user and query, control characters escaped.

    Its first line has the time and the level; further lines (of a multi-line message or a traceback)
    are indented, so that none of them can pass for a record.
    """

    converter = staticmethod(time.gmtime)
    default_msec_format = "%s.%03dZ"

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's name)
        return _indented(super().formatMessage(record)).lstrip()

    def formatException(self, ei: Any) -> str:  # noqa: N802 (logging's name)
        return _indented(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802 (logging's name)
        return _indented(super().formatStack(stack_info))


def _indented(text: str) -> str:
    return "\n".join("  " + _clean(line) for line in text.split("\n"))


def _clean(text: str) -> str:
    """Escape before redacting, so that no control character can cut a secret in two."""
    return redact(printable(text))


class _LogFile(logging.FileHandler):
    """Append records to the log; if the disk does not take them, report it once and rely on the console."""

    is_full = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
        elif not self.is_full:
            self.is_full = True
            sys.stderr.write(f"cannot write the log {self.baseFilename}: {error.strerror}\n")


def set_up(file: Path, level: str, console: TextIO | None = None) -> None:
    """Send log records of level and above to file (appended, 0600) and to console (stderr by default).

    Raise FatalError when file cannot be opened.
    """
    try:
        fd = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, OWNER_ONLY)
    except OSError as error:
        raise cannot_write(file, error) from error
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    os.close(fd)  # it was opened to set the file's mode
    for handler in (_LogFile(file, encoding="utf-8"), logging.StreamHandler(console)):
        handler.setFormatter(_OneCleanLine(_FORMAT))
        root.addHandler(handler)
    set_level(level)


def set_level(level: str) -> None:
    """Let records of level and above through; the libraries' own messages contain secrets and stay out."""
    logging.getLogger().setLevel(level)
    quieten_libraries()


def quieten_libraries() -> None:
    """Keep the libraries' own messages out of every log."""
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger(_ALARMED).setLevel(logging.CRITICAL)


def begin(effective: str, warnings: Iterable[str]) -> None:
    """Begin a run's log: its effective settings go to the file only, warnings to the console too."""
    _into_file(effective)
    for warning in warnings:
        log.warning("%s", warning)


Main = TypeVar("Main", bound=Callable[..., int])


def ending_in_the_log(main: Main) -> Main:
    """Record in the log file how main, a script, ended: its exit code, or the bug that ended it."""

    @functools.wraps(main)
    def logged(argv: Sequence[str] | None = None) -> int:
        try:
            code = main(argv)
        except Exception:
            _into_file(f"ended by a bug in this tool:\n{traceback.format_exc().rstrip()}", logging.ERROR)
            raise
        _into_file(f"ended, exit code {code}")
        return code

    return cast("Main", logged)


def show(screen: str) -> None:
    """Print screen to stdout, and write it to the log file too, for whoever reads that later."""
    _into_file(screen.strip("\n"))
    sys.stdout.write(screen if screen.endswith("\n") else f"{screen}\n")
    sys.stdout.flush()


def _into_file(text: str, level: int = logging.INFO) -> None:
    """Append a record to the log file, if there is one, whatever LOG_LEVEL is; not to the console."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _LogFile):
            handler.handle(
                logging.makeLogRecord(
                    {"msg": text, "levelno": level, "levelname": logging.getLevelName(level)}
                )
            )


def say_error(script: str, message: str) -> None:
    """Report why script ends: in the log if it is open, else on stderr."""
    if logging.getLogger().handlers:
        logging.getLogger(script.rpartition(".")[0]).error("%s", message)
    else:
        sys.stderr.write(f"{script}: {redact(message)}\n")
