"""Without their packages, or on a Python too old, the scripts say so and what to type: no traceback."""

from __future__ import annotations

import ast
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cdn2s3.bootstrap import OPTIONAL, PACKAGES, missing, remedy, too_old
from tests import ROOT

SCRIPTS = ["collect_urls.py", "migrate.py", "validate.py", "variants.py"]


@pytest.mark.parametrize("arguments", [(), ("--help",)], ids=["a run", "help"])
@pytest.mark.parametrize("script", SCRIPTS)
def test_script_without_its_packages_says_what_to_type(
    script: str, arguments: tuple[str, ...], tmp_path: Path
) -> None:
    command = [sys.executable, "-S", "-E", str(ROOT / script), *arguments]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(
        f"{script}: Python packages are missing for {sys.executable} (Jinja2, boto3,"
    )
    assert f"{ROOT}/" in ended.stderr.partition("First run: ")[2]
    assert len(ended.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_missing_here() -> None:
    assert missing() == []


def test_remedy_where_there_is_no_environment_makes_one(tmp_path: Path) -> None:
    make = "python3 -m venv .venv && . .venv/bin/activate && pip install -r requirements.txt"
    assert remedy(tmp_path, tmp_path, "") == make


def test_remedy_where_there_is_an_environment_activates_it(tmp_path: Path) -> None:
    folder = tmp_path / "the project"
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / ".venv/bin/activate").touch()
    assert remedy(folder, folder, "") == ". .venv/bin/activate"
    assert remedy(folder, tmp_path, "") == f". '{folder}/'.venv/bin/activate"


def test_remedy_in_an_environment_fills_it(tmp_path: Path) -> None:
    said = remedy(tmp_path, tmp_path, "/a b/bin/python")
    assert said == "'/a b/bin/python' -m pip install -r requirements.txt"


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ((3, 8, 18), "Python 3.9 or newer is needed, but /usr/bin/python3 is Python 3.8.18"),
        ((3, 9, 0), ""),
        ((3, 13, 1), ""),
    ],
    ids=["3.8", "3.9", "3.13"],
)
def test_python_that_is_too_old_is_told(version: tuple[int, ...], said: str) -> None:
    assert too_old(version, "/usr/bin/python3") == said


def _imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return {name.partition(".")[0] for name in names}


@pytest.mark.skipif(sys.version_info < (3, 10), reason="this Python has no list of its modules")
def test_every_package_that_is_imported_is_looked_for() -> None:
    files = [*(ROOT / script for script in SCRIPTS), *(ROOT / "cdn2s3").rglob("*.py")]
    imported = set().union(*map(_imported, files))
    assert imported - set(sys.stdlib_module_names) - {"cdn2s3"} == set(PACKAGES) | OPTIONAL


def _lines(file: str) -> list[str]:
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if not line.startswith(("#", "-r "))]


def _names(lines: list[str]) -> set[str]:
    return {re.split(r"[\[<>=;]", line)[0] for line in lines}


def test_list_to_install_is_what_the_scripts_import_and_no_more() -> None:
    assert _names(_lines("requirements.txt")) == set(PACKAGES.values())


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-dev.txt"])
def test_each_package_has_a_lowest_version_and_a_tested_one(file: str) -> None:
    tested = {name.lower() for name in _names(_lines("constraints.txt"))}
    for line in _lines(file):
        assert ">=" in line
        assert re.split(r"[\[>]", line)[0].lower() in tested


def test_versions_that_ci_passed_with_are_exact() -> None:
    assert all("==" in line for line in _lines("constraints.txt"))


@pytest.mark.parametrize("script", SCRIPTS)
def test_script_looks_for_packages_before_it_imports_anything(script: str) -> None:
    body = ast.parse((ROOT / script).read_text(encoding="utf-8")).body
    assert [ast.unparse(node) for node in body[1:4]] == [
        "from __future__ import annotations",
        "from cdn2s3 import bootstrap",
        "bootstrap.start()",
    ]


@pytest.mark.parametrize("script", SCRIPTS)
def test_ctrl_c_while_packages_are_imported_leaves_no_traceback(script: str, tmp_path: Path) -> None:
    (tmp_path / "botocore.py").write_text(
        "import os, signal, time; os.kill(os.getpid(), 2); time.sleep(30)\n"
    )
    (tmp_path / "requests.py").write_text(
        "import os, signal, time; os.kill(os.getpid(), 2); time.sleep(30)\n"
    )
    ended = subprocess.run(
        [sys.executable, str(ROOT / script)],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, "")
