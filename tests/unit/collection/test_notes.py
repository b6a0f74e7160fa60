"""Notes: what was done to URLs, counted with one example each, from the source to the last screen and back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cdn2s3.collection import checkpoint
from cdn2s3.collection.base import Batch
from cdn2s3.collection.checkpoint import Checkpoint, Counts
from cdn2s3.collection.expressions import ItemError
from cdn2s3.collection.notes import Note, Notes, table
from cdn2s3.collection.url_list import UrlList
from cdn2s3.errors import FatalError
from cdn2s3.settings.collection_settings import CollectionSettings
from cdn2s3.settings.loading import build

CDN = "https://cdn.example/"


def test_each_has_its_first_example_without_its_query() -> None:
    notes = Notes()
    for number in range(3):
        notes.add("trimmed", f"{CDN}{number}.jpg?Signature=canary")
    notes.merge({"trimmed": Note(2, "x"), "divided": Note(1, "y")})
    assert notes.found == {"trimmed": Note(5, f"{CDN}0.jpg?***"), "divided": Note(1, "y")}


def test_there_are_not_more_than_fit_a_screen() -> None:
    notes = Notes()
    for number in range(1_000):
        notes.add(f"rejected: another host, {number}.example", "x" * 500)
    assert len(notes.found) == 61
    assert notes.found["others"].times == 940
    assert max(len(note.example) for note in notes.found.values()) <= 101


def test_table_has_the_most_frequent_first() -> None:
    assert table({}) == ""
    shown = table({"divided": Note(3, "a.jpg"), "trimmed": Note(1_200, "b.jpg")})
    assert shown.splitlines()[1:] == ["  1,200  trimmed, such as b.jpg", "      3  divided, such as a.jpg"]


@pytest.fixture
def settings(tmp_path: Path) -> CollectionSettings:
    values = {
        "SOURCE": "lots",
        "URL_PREFIX": CDN,
        "OUTPUT_FILE": str(tmp_path / "urls.txt"),
        "CHECKPOINT_FILE": str(tmp_path / "checkpoint.json"),
    }
    return build(CollectionSettings, values, {}, Path("collection.env"))


BEGUN = Checkpoint(False, Counts(), 0, 0, {}, {})


def test_list_notes_what_is_odd_or_rejected_and_a_resume_goes_on_counting(
    settings: CollectionSettings,
) -> None:
    odd = [
        f"{CDN}a.jpg,cat",
        f"{CDN}b?w=1&amp;h=2",
        f"{CDN}c.jpg",
        "//cdn.example/d.jpg",
        ItemError("item 7", "why"),
    ]
    with UrlList(settings, BEGUN) as urls:
        urls.add(Batch(odd, None, notes={"divided": Note(2, "x")}))
        urls.save(None)
    loaded = checkpoint.load(settings.checkpoint_file)
    assert loaded is not None
    assert loaded.notes == {
        "URLs with more text after the image's ending, requested unchanged": Note(1, f"{CDN}a.jpg,cat"),
        "URLs with &amp; in the URL, requested unchanged": Note(1, f"{CDN}b?***"),
        "rejected: no scheme; put https: before it": Note(1, "//cdn.example/d.jpg"),
        "rejected: why": Note(1, "item 7"),
        "divided": Note(2, "x"),
    }
    with UrlList(settings, loaded) as urls:
        urls.add(Batch(["//cdn.example/e.jpg"], None))
        assert urls.notes.found["rejected: no scheme; put https: before it"].times == 2


@pytest.mark.parametrize("notes", [[], {"x": 1}, {"x": [1]}, {"x": ["1", "y"]}, {"x": [1, None]}], ids=str)
def test_checkpoint_with_other_notes_is_damaged(settings: CollectionSettings, notes: object) -> None:
    checkpoint.save(settings.checkpoint_file, BEGUN)
    found = json.loads(settings.checkpoint_file.read_bytes())
    settings.checkpoint_file.write_text(json.dumps({**found, "notes": notes}), encoding="utf-8")
    with pytest.raises(FatalError, match="notes"):
        checkpoint.load(settings.checkpoint_file)


def test_checkpoint_of_an_older_version_has_none(settings: CollectionSettings) -> None:
    checkpoint.save(settings.checkpoint_file, BEGUN)
    found = json.loads(settings.checkpoint_file.read_bytes())
    del found["notes"]
    settings.checkpoint_file.write_text(json.dumps(found), encoding="utf-8")
    loaded = checkpoint.load(settings.checkpoint_file)
    assert loaded is not None
    assert loaded.notes == {}
