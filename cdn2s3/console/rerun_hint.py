"""The commands that messages suggest: each includes --env-file if the settings file isn't the default one."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

from cdn2s3.file_names import COLLECTION_ENV, MIGRATION_ENV

_USUAL = {
    "collect_urls.py": COLLECTION_ENV,
    "migrate.py": MIGRATION_ENV,
    "validate.py": MIGRATION_ENV,
    "variants.py": MIGRATION_ENV,
}

_env_files = [Path(MIGRATION_ENV)]  # the last one is that of this process
_named: dict[str, str] = {}  # script -> the settings file of this process, if it isn't the default one


def use_env_file(script: str, env_file: Path) -> None:
    """Add env_file to the commands of script, and of those that share its settings file, from now on.

    For the main thread, before there are others.
    """
    _env_files.append(env_file)
    _named.clear()
    usual = _USUAL[script]
    if env_file != Path(usual):
        _named.update({other: shlex.quote(str(env_file)) for other, file in _USUAL.items() if file == usual})


def command(script: str, *words: str) -> str:
    """Return the command that runs script as the user must type it; words, its other arguments, are quoted."""
    env_file = ("--env-file", _named[script]) if script in _named else ()
    return " ".join(["python", script, *env_file, *map(shlex.quote, words)])


def given(script: str, options: Mapping[str, object]) -> str:
    """Return the command that runs script with options from argparse."""
    return command(script, *_words(options))


def typed(script: str, options: Mapping[str, object]) -> str:
    """Return script and its options from argparse, without python and the settings file, for the journal."""
    return shlex.join([script, *_words(options)])


def _words(options: Mapping[str, object]) -> list[str]:
    words = []
    for name, value in options.items():
        if name == "env_file" or value is None or value is False:
            continue
        words.append("--" + name.replace("_", "-"))
        if value is not True and value != "":
            words.append(str(value))
    return words


def settings_file() -> Path:
    """Return the settings file of this process, for messages that say what to change in it."""
    return _env_files[-1]
