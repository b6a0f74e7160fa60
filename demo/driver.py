"""What each demo does around its play: a folder of its own, no settings from outside, a clean end at a signal."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Callable

from demo.children import ROOT, Children, ServerError, Stopped, raise_on_signals
from demo.stage import UnexpectedEndError

_KEPT = ("PATH", "HOME", "USER", "LANG", "TERM", "COLUMNS", "LINES", "TMPDIR", "TZ", "VIRTUAL_ENV")


def drive(
    play: Callable[[Children, Path], int], description: str, default: str, argv: list[str] | None
) -> int:
    """Run a demo in the folder that argv names, by default demo/`default`, which is cleared; return the exit code.

    The folder that play gets has a subfolder `servers` for the output of servers.
    """
    cleared = ROOT / "demo" / default
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--out",
        type=Path,
        default=cleared,
        help=f"a new or empty folder (default: demo/{default}, cleared)",
    )
    out = parser.parse_args(argv).out.resolve()
    if out == cleared:
        shutil.rmtree(out, ignore_errors=True)
    elif out.exists() and any(out.iterdir()):
        parser.error(f"--out: {out} is not empty")
    (out / "servers").mkdir(parents=True)
    _forget_own_settings()
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a name may not be printable
    raise_on_signals()
    try:
        with Children(out / "servers") as children:
            return play(children, out)
    except (ServerError, UnexpectedEndError) as error:
        print(f"\ndemo: {error}")
        return 1
    except Stopped as stop:
        print(f"\ndemo: stopped by {signal.Signals(stop.number).name}; no process is left running")
        return 128 + stop.number


def _forget_own_settings() -> None:
    """Drop what would act on the scripts from outside: settings, AWS profiles and proxies."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT or name.startswith(("LC_", "PYTHON"))
    }
    os.environ.clear()
    os.environ.update(kept, AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull)
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
