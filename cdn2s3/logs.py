"""Logging for the three scripts: one file and the console, nothing secret in either."""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path
from typing import TextIO

from cdn2s3.errors import redact
from cdn2s3.statefile import OWNER_ONLY, cannot_write

log = logging.getLogger(__name__)

_FORMAT = "%(asctime)s %(levelname)-7s %(message)s"
# Their DEBUG lines hold URLs with queries and whole headers.
_TALKATIVE = ("urllib3", "botocore", "boto3", "s3transfer", "requests")


class _OneCleanLine(logging.Formatter):
    """Format a record: URLs without user and query, control characters escaped."""

    converter = staticmethod(time.gmtime)
    default_msec_format = "%s.%03dZ"

    def format(self, record: logging.LogRecord) -> str:
        lines = redact(super().format(record)).split("\n")
        return "\n  ".join(
            "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in line) for line in lines
        )


def set_up(file: Path, level: str, console: TextIO | None = None) -> None:
    """Send log records of level and above to file (appended, 0600) and to console (stderr by default).

    Raise CannotGoOn when file cannot be opened.
    """
    try:
        fd = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, OWNER_ONLY)
    except OSError as error:
        raise cannot_write(file, error) from error
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    for stream in (os.fdopen(fd, "a", encoding="utf-8"), console or sys.stderr):
        handler = logging.StreamHandler(stream)
        handler.setFormatter(_OneCleanLine(_FORMAT))
        root.addHandler(handler)
    root.setLevel(level)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
