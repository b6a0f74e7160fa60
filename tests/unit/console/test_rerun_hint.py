"""The command that a message tells you to type next."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from cdn2s3.collection.checkpoint import Checkpoint, Counts, Update, damaged
from cdn2s3.collection.summary import next_step
from cdn2s3.collection.url_list import does_not_fit
from cdn2s3.console.rerun_hint import command, given, use_env_file
from tests import ROOT
from tests.running import Migration


@pytest.fixture(autouse=True)
def usual_files_again() -> Iterator[None]:
    yield
    use_env_file("migrate.py", Path("migration.env"))


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


def test_messages_of_a_collection_name_its_settings_file() -> None:
    use_env_file("collect_urls.py", Path("c.env"))
    again = "python collect_urls.py --env-file c.env --restart"
    assert f"`{again}` (the files so far are kept" in str(damaged(Path("checkpoint.json"), "why"))
    assert f"`{again}` (the files so far are kept" in str(does_not_fit(Path("urls.txt"), "why"))
    done = Checkpoint(True, Counts(), 0, 0, None, {})
    assert next_step(done).endswith(f"then\n  {again}\n")
    done = done._replace(counts=Counts(urls=1))
    assert next_step(done).endswith("then\n  python migrate.py --plan\n")
    updated = done._replace(update=Update(1, "2026-11-27T10:00:00Z", ended=True))
    assert next_step(updated).endswith("what has changed:\n  python migrate.py --delta\n")


FILES = sorted([*ROOT.glob("*.py"), *(ROOT / "cdn2s3").rglob("*.py")])
WRITTEN_OUT = re.compile(r"python (collect_urls|migrate|validate)\.py")


def written_out(path: Path) -> list[str]:
    """Return the texts in a file that name a command of ours, but for its docstring and the example of a help text."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    written = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and WRITTEN_OUT.search(node.value)
    ]
    docstring = ast.get_docstring(tree, clean=False)
    return [text for text in written if text != docstring and not text.startswith("example:")]


def test_no_message_has_a_command_written_out() -> None:
    assert {str(path): texts for path in FILES if (texts := written_out(path))} == {}


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
