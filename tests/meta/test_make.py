"""`make` and the demo on a Python that cannot run them: one line that says what to install."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cdn2s3 import bootstrap
from tests import ROOT

needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
BEFORE = {  # what a Python that lacks something does before it runs what it is given
    "too old": "sys.version_info = (3, 8, 18, 'final', 0)",
    "without venv": "sys.modules['venv'] = None",
}


@pytest.fixture
def python(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A command that is a Python which lacks what the parameter names."""
    command = tmp_path / "python"
    code = f"import sys; {BEFORE[request.param]}; exec(sys.argv[1])"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{code}" "$2"\n')
    command.chmod(0o755)
    return command


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    # The tests may run under make themselves: this one must not take itself for a part of that.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        ["make", "-s", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


@needs_make
@pytest.mark.parametrize("target", ["demo", "demo-cutover", "test", "test-lowest"])
@pytest.mark.parametrize(
    ("python", "found"),
    [
        ("too old", "Python 3.8"),
        ("without venv", f"Python {sys.version_info[0]}.{sys.version_info[1]} without venv"),
    ],
    indirect=["python"],
)
def test_unfit_python_is_answered_with_one_line(
    target: str, python: Path, found: str, tmp_path: Path
) -> None:
    ended = make(target, f"VENV={tmp_path}/venv", f"PYTHON={python}")
    said, *rest = ended.stderr.splitlines()
    assert ended.returncode == 2
    assert said.startswith(
        f"Python 3.9 or newer with venv is needed, but {sys.executable} is {found}. Install one ("
    )
    assert said.endswith(f"then: make clean {target} PYTHON=python3.11")
    assert [line[:8] for line in rest] == ["make: **"]  # make's own: which rule failed
    assert ended.stdout == ""
    assert not (tmp_path / "venv").exists()


@needs_make
def test_python_that_is_not_there_is_answered_with_one_line(tmp_path: Path) -> None:
    ended = make("demo", f"VENV={tmp_path}/venv", "PYTHON=python9.9")
    assert ended.stderr.startswith(
        "Python 3.9 or newer with venv is needed, but there is no python9.9. Install one ("
    )
    assert len(ended.stderr.splitlines()) == 2


def test_demo_alone_says_which_python_it_needs() -> None:
    code = "import sys; sys.version_info = (3, 8, 18, 'final', 0); import demo"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert ended.stderr == f"demo: Python 3.9 or newer is needed; {sys.executable} is Python 3.8\n"


@needs_make
def test_lowest_versions_stay_out_of_the_environment_of_the_others() -> None:
    ended = make("-n", "test-lowest", "VENV=my-venv")
    assert "my-venv-lowest/bin/python -m pytest" in ended.stdout
    assert "my-venv/" not in ended.stdout


def test_lowest_versions_are_tested_in_every_room_that_imports_a_package() -> None:
    makefile = (ROOT / "Makefile").read_text()
    (chosen,) = re.findall(r"^LOWEST = \$\(addprefix tests/unit/,(.*?)\)", makefile, re.M)
    packages = "|".join(bootstrap.PACKAGES.keys() | bootstrap.OPTIONAL)
    imports = re.compile(rf"^ *(import|from) ({packages})\b", re.M)
    importing = {
        path.relative_to(ROOT / "cdn2s3").parts[0]
        for path in (ROOT / "cdn2s3").rglob("*.py")
        if imports.search(path.read_text(encoding="utf-8"))
    }
    assert importing == set(chosen.split())


@needs_make
def test_modules_are_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    assert "PYTHONDONTWRITEBYTECODE" not in make("--eval=show: ; @env", "show").stdout
