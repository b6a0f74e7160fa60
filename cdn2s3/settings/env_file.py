"""The reader of `.env` files: NAME=value lines, taken literally; every ambiguous line is refused."""

from __future__ import annotations

import io
import re
from pathlib import Path

from dotenv.parser import parse_stream

from cdn2s3.errors import UsageError

_NEWLINE = re.compile("\r\n|\n|\r")


def read_env_file(path: Path) -> dict[str, str]:
    """Return the names and values in an env file, without `${}` interpolation.

    Raise UsageError when the file is missing, unreadable or not UTF-8, has a line that cannot be understood
    (an unterminated quote would swallow the lines after it, so no value spans lines) or sets a name twice.
    """
    try:
        content = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UsageError(
            f"cannot read the settings file {path}: {error.strerror}. "
            "Run the command in the folder that has it, or pass its path with --env-file."
        ) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UsageError(f"{path}, line {line}: not UTF-8. Save the file as UTF-8.") from error
    values: dict[str, str] = {}
    for binding in parse_stream(io.StringIO(content, newline="")):
        taken = binding.original.string
        before = taken[: len(taken) - len(taken.lstrip())]
        line = binding.original.line + len(_NEWLINE.findall(before))
        over_lines = _NEWLINE.search(taken.strip()) is not None  # a quote that closes on a later line
        if binding.error or over_lines or (binding.key is not None and binding.value is None):
            raise UsageError(f"{path}, line {line}: not a NAME=value line (is a quote open?)")
        if "\0" in taken:
            raise UsageError(f"{path}, line {line}: contains a NUL character. Save the file as UTF-8 text.")
        if binding.key is None:
            continue
        if binding.key in values:
            raise UsageError(f"{path}, line {line}: {binding.key} is set twice. Keep one of them.")
        values[binding.key] = binding.value or ""
    return values
