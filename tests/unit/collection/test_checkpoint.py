"""checkpoint.json: what is saved is what is loaded, and nothing else is taken for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdn2s3.collection import checkpoint
from cdn2s3.collection.checkpoint import Checkpoint, Counts
from cdn2s3.errors import FatalError, UsageError
from cdn2s3.settings.collection_settings import CollectionSettings
from cdn2s3.settings.loading import build

HALF_WAY = Checkpoint(
    complete=False,
    counts=Counts(urls=20, duplicates=3, rejected=1, items=24, api_total=100),
    bytes=900,
    rejected_bytes=40,
    position={"asked": 3, "pages": 2, "empty": 0},
    settings={"SOURCE": "api"},
)


def settings_with(**values: str) -> CollectionSettings:
    return build(
        CollectionSettings, {"API_BASE_URL": "https://api.test/images", **values}, {}, Path("collection.env")
    )


@pytest.mark.parametrize(
    "saved",
    [HALF_WAY, HALF_WAY._replace(complete=True, position=None, counts=Counts())],
    ids=["half-way", "complete"],
)
def test_saved_is_loaded(tmp_path: Path, saved: Checkpoint) -> None:
    path = tmp_path / "checkpoint.json"
    checkpoint.save(path, saved)
    assert checkpoint.load(path) == saved
    assert path.stat().st_mode & 0o777 == 0o600


def test_fields_have_their_documented_names(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.json"
    checkpoint.save(path, HALF_WAY)
    stored = json.loads(path.read_bytes())
    assert {name: stored[name] for name in ("complete", "urls", "bytes", "rejected_bytes", "duplicates")} == {
        "complete": False,
        "urls": 20,
        "bytes": 900,
        "rejected_bytes": 40,
        "duplicates": 3,
    }
    assert {"rejected", "items", "api_total", "position", "settings"} <= set(stored)


def test_missing_file_is_no_checkpoint(tmp_path: Path) -> None:
    assert checkpoint.load(tmp_path / "checkpoint.json") is None


def test_folder_in_its_place_is_fixable(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="CHECKPOINT_FILE"):
        checkpoint.load(tmp_path)


def changed(**fields: Any) -> bytes:
    stored = {**HALF_WAY._asdict(), **HALF_WAY.counts._asdict(), **fields}
    del stored["counts"]
    return json.dumps({name: value for name, value in stored.items() if value != "gone"}).encode()


DAMAGED = [
    pytest.param(b"", id="empty"),
    pytest.param(changed()[:-9], id="cut"),
    pytest.param(b"\xff\x00", id="not-utf-8"),
    pytest.param(b"[]", id="a-list"),
    pytest.param(b"[" * 100_000, id="nested-without-end"),
    pytest.param(changed(urls="gone"), id="no-urls"),
    pytest.param(changed(urls=True), id="urls-a-boolean"),
    pytest.param(changed(bytes=-1), id="negative-bytes"),
    pytest.param(changed(rejected_bytes=1.5), id="fraction"),
    pytest.param(changed(api_total="100"), id="total-a-text"),
    pytest.param(changed(complete="yes"), id="complete-a-text"),
    pytest.param(changed(settings=None), id="no-settings"),
    pytest.param(changed(settings={"SOURCE": 1}), id="settings-not-texts"),
    pytest.param(changed(position=None), id="no-position"),
    pytest.param(changed(position=[1]), id="position-a-list"),
]


@pytest.mark.parametrize("content", DAMAGED)
def test_damaged_file_stops_the_run_and_names_the_way_out(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "checkpoint.json"
    path.write_bytes(content)
    with pytest.raises(FatalError, match="--restart") as caught:
        checkpoint.load(path)
    assert caught.value.exit_code == 3
    assert path.read_bytes() == content


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(), inside, max_size=3),
    max_leaves=5,
)
names = st.sampled_from([*Counts._fields, "complete", "bytes", "rejected_bytes", "position", "settings"])


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.one_of(st.binary(), st.dictionaries(names, values).map(lambda fields: changed(**fields))))
def test_any_content_is_reproduced_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    folder = tmp_path_factory.getbasetemp()
    path, again = folder / "checkpoint-in.json", folder / "checkpoint-out.json"
    path.write_bytes(content)
    try:
        found = checkpoint.load(path)
    except FatalError:
        return
    assert found is not None
    checkpoint.save(again, found)
    assert checkpoint.load(again) == found


def test_other_source_settings_are_named_old_and_new() -> None:
    before = checkpoint.source_settings(settings_with())
    now = checkpoint.source_settings(
        settings_with(API_PAGINATION="offset", URL_PREFIX="https://other.test/", API_URLS_FIELD="a[].b")
    )
    with pytest.raises(UsageError) as caught:
        checkpoint.check_settings(Path("checkpoint.json"), before, now)
    text = str(caught.value)
    assert "API_PAGINATION: page before, offset now" in text
    assert "https://d278yjzsv5tla9.cloudfront.net/ before, https://other.test/ now" in text
    assert "--restart" in text


HARMLESS = {
    "API_AUTH_TOKEN": "new",
    "API_RATE_LIMIT": "3",
    "API_TIMEOUT": "9",
    "MAX_RETRIES": "0",
    "CHECKPOINT_INTERVAL": "5",
    "EXPECTED_TOTAL": "7",
    "LOG_LEVEL": "DEBUG",
    "LOT_FILES": "other/*.json",
    "API_CURSOR_PARAM": "not-of-this-style",
}


@pytest.mark.parametrize("name", HARMLESS)
def test_setting_that_leaves_the_source_as_it_is_may_change(name: str) -> None:
    before = checkpoint.source_settings(settings_with())
    now = checkpoint.source_settings(settings_with(**{name: HARMLESS[name]}))
    checkpoint.check_settings(Path("checkpoint.json"), before, now)
    assert before == now


def test_query_of_the_base_url_is_compared_but_not_kept() -> None:
    one, two = (
        checkpoint.source_settings(settings_with(API_BASE_URL=f"https://api.test/images?key={key}"))
        for key in ("s3cret-1", "s3cret-2")
    )
    assert one["API_BASE_URL"] != two["API_BASE_URL"]
    assert "s3cret" not in str((one, two))


def test_settings_that_an_older_version_did_not_know_had_their_defaults() -> None:
    now = checkpoint.source_settings(settings_with())
    before = {name: value for name, value in now.items() if name not in ("API_METHOD", "API_BODY")}
    checkpoint.check_settings(Path("checkpoint.json"), before, now)
    posted = checkpoint.source_settings(settings_with(API_METHOD="POST", API_BODY='{"key": "s3cret-1"}'))
    with pytest.raises(UsageError, match="API_METHOD: GET before, POST now"):
        checkpoint.check_settings(Path("checkpoint.json"), before, posted)
    assert "s3cret" not in str(posted)
