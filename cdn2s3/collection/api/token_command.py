"""API_TOKEN_COMMAND: a program of the user's that prints a token, for APIs whose tokens live an hour."""

from __future__ import annotations

import json
import logging
import shlex
import subprocess

from cdn2s3.errors import FatalError, UsageError
from cdn2s3.text import printable, redact

log = logging.getLogger(__name__)

SECONDS = 60.0  # that the command may take

_SHOWN = 200  # characters of what it says
_JSON_NAMES = ("access_token", "token", "id_token")  # what OAuth servers call it


def token_of(command: str, scheme: str) -> str:
    """Return the token that command prints, without the word that API_AUTH_SCHEME adds.

    command is split into words as a shell does it, but no shell runs it. Raise UsageError when there is no such
    program, FatalError when it fails, takes longer than SECONDS or prints no token.
    """
    words = shlex.split(command)
    log.debug("running API_TOKEN_COMMAND (%s)", words[0])
    try:
        ended = subprocess.run(  # noqa: S603  # the user's own command
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise FatalError(
            f"API_TOKEN_COMMAND ({words[0]}) did not end within {SECONDS:.0f} s. Run it by hand: it must print the "
            "token without asking for anything."
        ) from error
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(
            f"API_TOKEN_COMMAND: {printable(words[0])} cannot be run ({why}). Correct the command; it is not run by a "
            "shell, so a pipe needs sh -c '…'."
        ) from error
    if ended.returncode != 0:
        said = _first_line(ended.stderr)
        raise FatalError(
            f"API_TOKEN_COMMAND ({words[0]}) ended with exit code {ended.returncode}"
            + (f" and said: {said}" if said else " and said nothing on stderr")
            + ". Run it by hand, correct it, then resume."
        )
    return _token_in(ended.stdout, scheme, words[0])


def _token_in(output: bytes, scheme: str, program: str) -> str:
    text = output.decode("utf-8", "replace").strip()
    if text.startswith("{"):
        text = _from_json(text)
    if scheme and text.lower().startswith(f"{scheme.lower()} "):
        text = text[len(scheme) :].strip()
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        what = "printed nothing" if not output.strip() else "printed something other than a token"
        raise FatalError(
            f"API_TOKEN_COMMAND ({program}) {what}: it must print the token alone, in one line of ASCII (or JSON with "
            "access_token)."
        )
    return text


def _from_json(text: str) -> str:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    values = (found.get(name) for name in _JSON_NAMES)
    return next((value for value in values if isinstance(value, str)), "")


def _first_line(output: bytes) -> str:
    lines = output.decode("utf-8", "replace").strip().splitlines()
    return redact(printable(lines[-1]))[:_SHOWN] if lines else ""
