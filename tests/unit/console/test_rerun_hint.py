"""The command that a message tells you to type next."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from cdn2s3.console.rerun_hint import command, given, use_env_file, with_env_file
from tests import ROOT
from tests.running import Migration


@pytest.fixture(autouse=True)
def usual_files_again() -> Iterator[None]:
    yield
    use_env_file("migrate.py", Path("migration.env"))


@pytest.mark.parametrize(
    ("script", "file", "text", "expected"),
    [
        ("migrate.py", "migration.env", "next: python migrate.py", "next: python migrate.py"),
        ("migrate.py", "b.env", "next: python migrate.py", "next: python migrate.py --env-file b.env"),
        ("migrate.py", "b.env", "python validate.py", "python validate.py --env-file b.env"),
        ("migrate.py", "b.env", "python collect_urls.py", "python collect_urls.py"),
        ("migrate.py", "b.env", "`python migrate.py --plan`.", "`python migrate.py --env-file b.env --plan`."),
        ("migrate.py", "b.env", "python migrate.py, python migrate.py", "python migrate.py --env-file b.env, "
         "python migrate.py --env-file b.env"),
        ("migrate.py", "b.env", "cpython migrate.py, migrate.py", "cpython migrate.py, migrate.py"),
        ("validate.py", "my b.env", "python migrate.py --redo f", "python migrate.py --env-file 'my b.env' --redo f"),
        ("collect_urls.py", "c.env", "python collect_urls.py --restart, then python migrate.py",
         "python collect_urls.py --env-file c.env --restart, then python migrate.py"),
    ],
    ids=["usual", "other", "shared", "not shared", "option", "twice", "no command", "quoted", "collection"],
)  # fmt: skip
def test_typed(script: str, file: str, text: str, expected: str) -> None:
    use_env_file(script, Path(file))
    assert with_env_file(text) == expected
    assert with_env_file(with_env_file(text)) == expected


@pytest.mark.parametrize(
    ("own", "env_file", "words", "expected"),
    [
        ("migrate.py", "migration.env", ("migrate.py",), "python migrate.py"),
        ("migrate.py", "b.env", ("migrate.py",), "python migrate.py --env-file b.env"),
        ("migrate.py", "b.env", ("validate.py",), "python validate.py --env-file b.env"),
        ("migrate.py", "b.env", ("collect_urls.py",), "python collect_urls.py"),
        ("migrate.py", "b.env", ("migrate.py", "--plan"), "python migrate.py --env-file b.env --plan"),
        ("validate.py", "my b.env", ("migrate.py", "--redo", "a file"),
         "python migrate.py --env-file 'my b.env' --redo 'a file'"),
        ("collect_urls.py", "c.env", ("collect_urls.py", "--restart"),
         "python collect_urls.py --env-file c.env --restart"),
        ("collect_urls.py", "c.env", ("migrate.py", "--plan"), "python migrate.py --plan"),
    ],
    ids=["usual", "other", "shared", "not shared", "option", "quoted", "collection", "the next phase"],
)  # fmt: skip
def test_command(own: str, env_file: str, words: tuple[str, ...], expected: str) -> None:
    use_env_file(own, Path(env_file))
    assert command(*words) == expected


FILES = sorted([*ROOT.glob("*.py"), *(ROOT / "cdn2s3").rglob("*.py")])
WRITTEN_OUT = re.compile(r"python (collect_urls|migrate|validate)\.py")
BY_THE_FORMATTER = (
    "collect_urls.py",
    "cdn2s3/collection/",
    "cdn2s3/planning/survey.py",
)  # with_env_file() does these


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_message_has_a_command_written_out(path: Path) -> None:
    if str(path.relative_to(ROOT)).startswith(BY_THE_FORMATTER):
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    written = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and WRITTEN_OUT.search(node.value)
    ]
    docstring = ast.get_docstring(tree, clean=False)
    assert [text for text in written if text != docstring and not text.startswith("example:")] == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"env_file": Path("b.env"), "plan": False, "limit": None}, "python migrate.py"),
        ({"create_bucket": True, "sample": None}, "python migrate.py --create-bucket"),
        ({"limit": 5, "retry_failed": ""}, "python migrate.py --limit 5 --retry-failed"),
        ({"redo": Path("my missing.txt")}, "python migrate.py --redo 'my missing.txt'"),
    ],
    ids=["none", "flag", "with and without a value", "quoted"],
)
def test_given(options: dict[str, object], expected: str) -> None:
    assert given("migrate.py", options) == expected


def test_commands_of_a_run_name_its_settings_file(tmp_path: Path) -> None:
    job = Migration(tmp_path, AWS_ENDPOINT_URL="http://127.0.0.1:9", URL_PREFIX="http://127.0.0.1:9/")
    job.urls(["http://127.0.0.1:9/a.jpg"])
    job.settings["MAX_RETRIES"] = 0
    job.run("--plan")  # it writes migration.env
    (tmp_path / "migration.env").rename(tmp_path / "b.env")
    for option, said in (
        ("--plan", "next: python migrate.py --env-file b.env --check"),
        ("--check", "run: python migrate.py --env-file b.env --check"),
        ("--limit=1", "next: fix the problem above, then run: python migrate.py --env-file b.env"),
    ):
        assert said in job.run("--env-file", "b.env", option).out
    assert job.report()["next"] == "python migrate.py --env-file b.env"
