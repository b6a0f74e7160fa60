"""Getting what a store needs into a folder of its own: from PyPI, npm and Debian; nothing on this machine changes.

Each function does nothing where the folder has it already, and raises NotHere where this machine cannot get it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.stores.processes import environment_with

_MARK = ".installed"  # what the folder holds, written last
_PATIENCE = 600.0  # seconds for one command of a package manager


class NotHere(Exception):
    """This machine cannot have the store; with what is missing."""


def pip_packages(folder: Path, requirements: Sequence[str], oldest: tuple[int, int] = (3, 9)) -> Path:
    """Make a virtual environment with requirements, on a Python from oldest on; return its bin folder."""

    def install() -> None:
        uv = Path(sys.executable).with_name("uv")  # a tenth of pip's time for LocalStack's 78 packages
        if not uv.exists():
            raise NotHere(f"uv is missing beside {sys.executable}: pip install uv")
        _run([uv, "venv", "--quiet", "--python", python_from(oldest), folder])
        _run([uv, "pip", "install", "--quiet", "--python", folder / "bin" / "python", *requirements])

    _once(folder, requirements, install)
    return folder / "bin"


def npm_package(folder: Path, package: str) -> Path:
    """Install an npm package; return the folder with its commands."""

    def install() -> None:
        for needed in ("node", "npm"):
            if shutil.which(needed) is None:
                raise NotHere(f"{needed} is missing: install Node.js with npm")
        _run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", folder, package])

    _once(folder, [package], install)
    return folder / "node_modules" / ".bin"


def debian_packages(folder: Path, packages: Sequence[str]) -> Path:
    """Unpack Debian packages with what they depend on; return the folder that is their file system's root.

    They are unpacked, not installed: that needs no root, and starts no service. What this machine has installed is
    left out, so the programs run with this folder before the machine's own (debian_environment).
    """

    def install() -> None:
        if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
            raise NotHere("apt-get is missing: this needs Debian or one of its kind")
        archives = folder / "archives"
        archives.mkdir(parents=True)
        _run(["apt-get", "-qq", "download", *_with_dependencies(packages)], archives)
        for archive in sorted(archives.glob("*.deb")):
            _run(["dpkg-deb", "--extract", archive, folder / "root"])
        shutil.rmtree(archives)

    _once(folder, packages, install)
    return folder / "root"


def debian_environment(root: Path) -> dict[str, str]:
    """Return the environment in which programs of debian_packages find each other, and what they load."""
    libraries = sorted(
        {path.parent for path in root.glob("usr/lib/**/*.so*")} | {*root.glob("lib/*-linux-gnu")}
    )
    return {
        "PATH": ":".join([*(str(root / name) for name in ("usr/bin", "usr/sbin")), os.environ["PATH"]]),
        "LD_LIBRARY_PATH": ":".join(str(path) for path in libraries if "python3" not in path.parts),
        "PYTHONPATH": str(root / "usr/lib/python3/dist-packages"),
    }


def python_from(oldest: tuple[int, int]) -> Path:
    """Return the newest Python here that can make virtual environments; raise NotHere where all are older."""
    names = {path.name for folder in _path() for path in folder.glob("python3*")}
    on_path = [shutil.which(name) for name in names if re.fullmatch(r"python3(\.\d+)?", name)]
    pyenv = Path.home().glob(".pyenv/versions/*/bin/python3")
    versions = {
        _version(python): python for python in (sys.executable, *filter(None, on_path), *map(str, pyenv))
    }
    newest = max(versions)
    if newest < oldest:
        have = f"the newest here is {newest[0]}.{newest[1]}" if newest else "none here has venv"
        raise NotHere(f"it needs Python {oldest[0]}.{oldest[1]} or newer with venv, and {have}")
    return Path(versions[newest])


def _version(python: str) -> tuple[int, ...]:
    """Return a Python's version; () where it cannot make virtual environments."""
    code = "import ensurepip, sys, venv; print(*sys.version_info[:3])"
    asked = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return tuple(map(int, asked.stdout.split())) if asked.returncode == 0 else ()


def _path() -> list[Path]:
    return [Path(name) for name in os.environ.get("PATH", "").split(os.pathsep) if name]


def _with_dependencies(packages: Sequence[str]) -> list[str]:
    """Return what apt would install for packages, as NAME=VERSION; refresh its lists once where it knows none."""
    simulate = ["apt-get", "install", "--simulate", "--no-install-recommends", *packages]
    try:
        planned = _run(simulate)
    except NotHere:
        _run([*(["sudo", "-n"] if os.getuid() else []), "apt-get", "-qq", "update"])
        planned = _run(simulate)
    found = re.findall(r"^Inst (\S+) (?:\[\S+\] )?\((\S+)", planned, re.MULTILINE)
    return [f"{name}={version}" for name, version in found]


def _once(folder: Path, what: Sequence[str], install: Callable[[], None]) -> None:
    """Call install with a folder that is not there yet, unless it holds what already."""
    mark, wanted = folder / _MARK, "\n".join(what) + "\n"
    if mark.exists() and mark.read_text(encoding="utf-8") == wanted:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    install()
    mark.write_text(wanted, encoding="utf-8")


def _run(command: Sequence[str | Path], folder: Path | None = None) -> str:
    """Run a command of a package manager and return what it said; raise NotHere when it fails."""
    try:
        ran = subprocess.run(
            command, cwd=folder, env=environment_with({"LC_ALL": "C.UTF-8"}), text=True, errors="replace",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=_PATIENCE, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotHere(f"{Path(command[0]).name}: {error}") from error
    if ran.returncode:
        said = " | ".join(line for line in ran.stdout.split("\n") if line.strip())[-600:]
        raise NotHere(f"`{' '.join(map(str, command))[:200]}` failed: {said}")
    return ran.stdout
