"""The check of Python and its packages before a script starts, with the command that installs what is missing.

Each script calls start() before it imports anything else: after a new login or a reboot, the virtual environment is
not active, and the first import of a package would end in a traceback. This module uses only the standard library,
and nothing that Python 3.8 would not understand.
"""

from __future__ import annotations

import importlib.util
import resource
import shlex
import signal
import sys
from pathlib import Path

from cdn2s3.errors import EXIT_FIXABLE, UsageError

SCRIPTS = frozenset({"collect_urls.py", "migrate.py", "validate.py", "variants.py"})
OLDEST = (3, 9)
PACKAGES = {  # import name: its name in requirements.txt (or of the package that installs it)
    "boto3": "boto3",
    "botocore": "boto3",
    "certifi": "requests",
    "defusedxml": "defusedxml",
    "dotenv": "python-dotenv",
    "jinja2": "Jinja2",
    "jmespath": "boto3",
    "markupsafe": "Jinja2",
    "pygal": "pygal",
    "requests": "requests",
    "tqdm": "tqdm",
    "urllib3": "urllib3",
}
OPTIONAL = frozenset(
    {"PIL", "distributed", "pyarrow", "zstandard"}
)  # of variants.py, DASK_SCHEDULER and some exports: these say so
_MAKE = "python3 -m venv {0}.venv && . {0}.venv/bin/activate && pip install -r {0}requirements.txt"


def missing() -> list[str]:
    """Return which of PACKAGES this Python does not find, by install name."""
    return sorted({name for module, name in PACKAGES.items() if importlib.util.find_spec(module) is None})


def too_old(version: tuple[int, ...], python: str) -> str:
    """Return the message for a Python of version, empty if it is new enough."""
    if version[:2] >= OLDEST:
        return ""
    needed, found = (".".join(map(str, numbers)) for numbers in (OLDEST, version[:3]))
    return f"Python {needed} or newer is needed, but {python} is Python {found}"


def remedy(folder: Path, current: Path, environment: str) -> str:
    """Return the command to run when packages are missing.

    folder is the project's, current the one of the shell; environment is the Python of the virtual environment
    that lacks them, empty outside of one.
    """
    prefix = "" if folder == current else shlex.quote(f"{folder}/")
    if environment:
        return f"{shlex.quote(environment)} -m pip install -r {prefix}requirements.txt"
    if (folder / ".venv/bin/activate").exists():
        return f". {prefix}.venv/bin/activate"
    return _MAKE.format(prefix)


def check() -> None:
    """End the process with exit code 2 when this Python is too old or lacks packages."""
    why = too_old(sys.version_info[:3], sys.executable)
    if not why:
        lacking = missing()
        if not lacking:
            return
        folder, current = Path(__file__).resolve().parents[1], Path.cwd()
        what = remedy(folder, current, sys.executable if sys.prefix != sys.base_prefix else "")
        why = f"Python packages are missing for {sys.executable} ({', '.join(lacking)}). First run: {what}"
    sys.stderr.write(f"{Path(sys.argv[0]).name}: {why}\n")
    raise SystemExit(EXIT_FIXABLE)


def let_ctrl_c_end_quietly() -> None:
    """Let Ctrl-C end a script without a traceback until it has set its own handler: imports take half a second."""
    script = getattr(sys.modules["__main__"], "__file__", None)
    if script is not None and Path(script).name in SCRIPTS:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def start() -> None:
    """Check Python and its packages, and let Ctrl-C end the imports quietly; called before them."""
    check()
    let_ctrl_c_end_quietly()


_FILES_BESIDES = 64  # open files that are neither a download nor an upload


def open_files_needed(workers: int) -> int:
    """Return how many open files so many workers need: a connection each to the CDN and the bucket, and some more."""
    return 2 * workers + _FILES_BESIDES


def allow_open_files(workers: int) -> None:
    """Allow as many open files as so many workers need; raise UsageError if the limit is too low."""
    needed = open_files_needed(workers)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise UsageError(
            f"CONCURRENCY needs {needed} open files, but only {hard} are allowed. Lower it, or raise ulimit -n."
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
