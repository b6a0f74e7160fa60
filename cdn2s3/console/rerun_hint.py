"""The commands that messages tell a person to type: each names the settings file, where it is not the usual one."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

_USUAL = {"collect_urls.py": "collection.env", "migrate.py": "migration.env", "validate.py": "migration.env"}
_COMMAND = re.compile(r"\bpython (collect_urls\.py|migrate\.py|validate\.py)(?! --env-file)")

_env_files = [Path("migration.env")]  # the last one is that of this process
_named: dict[str, str] = {}  # script -> the settings file of this process, where it is not the usual one


def use_env_file(script: str, env_file: Path) -> None:
    """Let the commands of script, and of those that share its settings file, name env_file from now on.

    For the main thread, before there are others.
    """
    _env_files.append(env_file)
    _named.clear()
    usual = _USUAL[script]
    if env_file != Path(usual):
        _named.update({other: shlex.quote(str(env_file)) for other, file in _USUAL.items() if file == usual})


def given(script: str, options: Mapping[str, object]) -> str:
    """Return the command that runs script with options, as argparse holds them; typed() names the settings file."""
    words = ["python", script]
    for name, value in options.items():
        if name == "env_file" or value is None or value is False:
            continue
        words.append("--" + name.replace("_", "-"))
        if value is not True and value != "":
            words.append(shlex.quote(str(value)))
    return " ".join(words)


def with_env_file(text: str) -> str:
    """Return text with its commands as they are to be typed."""
    if not _named:
        return text
    return _COMMAND.sub(lambda found: found[0] + _option(found[1]), text)


def _option(script: str) -> str:
    return f" --env-file {_named[script]}" if script in _named else ""


def settings_file() -> Path:
    """Return the settings file of this process, for messages that say what to change in it."""
    return _env_files[-1]
