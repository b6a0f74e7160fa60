"""docs/settings.md and the two templates say what the code says."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from cdn2s3.settings.collection_settings import CollectionSettings
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.settings.declaring import REQUIRED
from cdn2s3.settings.env_file import read_env_file
from cdn2s3.settings.loading import build, redacted_values
from tests import ROOT

TEMPLATES = [
    pytest.param(CollectionSettings, "collection.env", id="collection"),
    pytest.param(MigrationSettings, "migration.env", id="migration"),
]
# What a template leaves for its user to fill in.
ANSWERS = {"API_BASE_URL": "https://api.example.com/v1/images", "DESTINATION_BUCKET": "my-auction-images"}


def _defaults(kind: type) -> dict[str, str]:
    """Return each setting's default as it stands in a file; empty where there is none."""
    return {
        field.name.upper(): "" if field.metadata["default"] == REQUIRED else field.metadata["default"]
        for field in dataclasses.fields(kind)
    }


def _given(template: str) -> list[tuple[str, str]]:
    """Return the settings that stand in a template, and their values."""
    lines = (ROOT / template).read_text(encoding="utf-8").splitlines()
    given = [re.fullmatch(r"(?:# ?)?([A-Z][A-Z0-9_]+)=(\S.*|)", line) for line in lines]
    return [(match[1], match[2]) for match in given if match]


def _only_named(template: str) -> list[str]:
    """Return the settings that a template names in its groups, `# Group: NAME NAME`, which may go on in a next line."""
    text = (ROOT / template).read_text(encoding="utf-8")
    groups = re.findall(r"^# [A-Z][^:\n]*:((?:(?:\n#    )? [A-Z][A-Z0-9_]+)+)$", text, re.MULTILINE)
    return [name for group in groups for name in re.findall(r"[A-Z][A-Z0-9_]+", group)]


@pytest.mark.parametrize(("kind", "template"), TEMPLATES)
def test_template_has_each_setting_once_with_its_default_or_in_its_group(kind: type, template: str) -> None:
    given = _given(template)
    assert dict(given).items() <= _defaults(kind).items()
    assert sorted([name for name, _ in given] + _only_named(template)) == sorted(_defaults(kind))


def test_template_of_the_collection_shows_ten_settings() -> None:
    assert len(_given("collection.env")) == 10


@pytest.mark.parametrize("template", ["collection.env", "migration.env"])
def test_template_comments_on_each_setting_that_it_shows(template: str) -> None:
    text = (ROOT / template).read_text(encoding="utf-8")
    for name, _ in _given(template):
        before = text[: re.search(rf"^(?:# ?)?{name}=", text, re.MULTILINE).start()]  # type: ignore[union-attr]
        assert re.search(r"# .*\w", before.rpartition("\n\n")[2]), f"{name} has no comment in its paragraph"


@pytest.mark.parametrize(("kind", "template"), TEMPLATES)
def test_template_with_its_blanks_filled_in_is_the_defaults(kind: type, template: str) -> None:
    needed = {name: answer for name, answer in ANSWERS.items() if name in _defaults(kind)}
    file = {**read_env_file(ROOT / template), **needed}
    assert redacted_values(build(kind, file, {}, Path(template))) == redacted_values(
        build(kind, needed, {}, Path(template))
    )


def _rows(heading: str) -> dict[str, list[str]]:
    """Return the cells of each table row under the heading that names a template, by the setting's name."""
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    section = re.split(rf"^#+ .*{re.escape(heading)}.*$", text, maxsplit=1, flags=re.MULTILINE)[1]
    section = re.split(r"^#+ .*\.env.*$", section, maxsplit=1, flags=re.MULTILINE)[0]
    rows = [re.split(r"(?<!\\) *\| *", line.strip().strip("|").strip()) for line in section.splitlines()]
    named = [(re.fullmatch(r"`([A-Z0-9_]+)`", cells[0]), cells[1:]) for cells in rows]
    found = [(match[1], cells) for match, cells in named if match]
    assert len(found) == len(dict(found)), "a setting stands twice"
    return dict(found)


def _allowed(parse: object) -> str | None:
    """Return the parser's own words for what it takes; None when it takes anything."""
    for refused in ("\0", ","):
        try:
            parse(refused)  # type: ignore[operator]
        except ValueError as error:
            return str(error)
    return None


@pytest.mark.parametrize(("kind", "template"), TEMPLATES)
def test_docs_list_each_setting_and_no_other(kind: type, template: str) -> None:
    assert list(_rows(template)) == list(_defaults(kind))


@pytest.mark.parametrize(("kind", "template"), TEMPLATES)
def test_docs_give_default_range_meaning_and_example(kind: type, template: str) -> None:
    """A row is: `NAME` | default | allowed | meaning | example; text cells hold the code's words."""
    rows = _rows(template)
    for field in dataclasses.fields(kind):
        default, allowed, meaning, example = rows[field.name.upper()]
        wanted = {"": "empty", REQUIRED: "required"}.get(field.metadata["default"])
        assert default == (wanted or f"`{field.metadata['default']}`"), field.name
        words = _allowed(field.metadata["parse"])
        assert allowed == (words.replace("|", "\\|") if words else "any text"), field.name
        assert meaning == field.metadata["meaning"].replace("|", "\\|"), field.name
        shown = field.metadata["example"].replace("|", "\\|")
        assert example == (f"`{shown}`" if shown else ""), field.name
