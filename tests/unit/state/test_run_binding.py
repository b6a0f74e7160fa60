"""run.json binds a state to its destination; whatever stands in it, the answer is a documented error."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdn2s3.errors import FatalError, UsageError
from cdn2s3.file_names import COMPLETED_FILE, FAILED_FILE, RUN_FILE
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.settings.loading import build
from cdn2s3.state.files import held_lock
from cdn2s3.state.run_binding import (
    bind,
    check,
    first_place,
    is_bound,
    is_rebound,
    standing_still,
    unfinished_collection,
)
from tests.properties import examples


def settings_in(folder: Path) -> MigrationSettings:
    file = {"DESTINATION_BUCKET": "my-images", "STATE_DIR": str(folder)}
    return build(MigrationSettings, file, {}, Path("migration.env"))


def store_something(folder: Path) -> None:
    (folder / COMPLETED_FILE).write_text("https://x/a.jpg\timages/a.jpg\t1\t-\t-\t-\t2026-11-20T10:00:00Z\n")


def test_first_run_that_stored_binds_and_the_same_settings_pass(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    bind(settings)
    assert not is_bound(settings)
    before = (tmp_path / RUN_FILE).read_bytes()
    store_something(tmp_path)
    bind(settings)
    assert is_bound(settings) and (tmp_path / RUN_FILE).read_bytes() == before
    assert (tmp_path / RUN_FILE).stat().st_mode & 0o777 == 0o600


def test_rows_that_do_not_say_their_place_are_where_the_first_run_stored(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    assert first_place(settings) == "s3"
    bind(settings)
    assert first_place(settings) == "s3"
    for written, place in (({"DESTINATION": "local"}, "local"), ({}, "s3")):  # {}: older than the setting
        (tmp_path / RUN_FILE).write_text(json.dumps(written))
        assert first_place(settings) == place


ANOTHER = pytest.mark.parametrize(
    ("name", "value"),
    [
        ("destination_bucket", "other"),
        ("destination_prefix", "else/"),
        ("preserve_path_structure", True),
        ("strip_path_prefix", "x/"),
        ("url_prefix", "https://other.example/"),
        ("aws_endpoint_url", "https://s3.example"),
    ],
)


@ANOTHER
@pytest.mark.parametrize("row", [None, b"", b"https://x/a.jpg\ttorn"], ids=["no file", "empty", "torn"])
def test_state_in_which_nothing_is_stored_is_taken_over_and_says_so(
    tmp_path: Path, name: str, value: object, row: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings_in(tmp_path)
    bind(settings)
    if row is not None:
        (tmp_path / COMPLETED_FILE).write_bytes(row)
    failures = b"https://x/a.jpg\tmalformed\t0\tnot under URL_PREFIX\t2026-11-20T10:00:00Z\n"
    (tmp_path / FAILED_FILE).write_bytes(failures)
    other = dataclasses.replace(settings, **{name: value})  # type: ignore[arg-type]
    check(other)
    assert is_rebound(other) and not is_rebound(settings)
    assert (tmp_path / FAILED_FILE).read_bytes() == failures  # a look changes nothing
    with caplog.at_level("INFO"):
        bind(other)
    said = (
        f"now belongs to s3://{other.destination_bucket}/{other.destination_prefix} (changed: {name.upper()})"
    )
    assert caplog.text.count(said) == 1
    assert not (tmp_path / FAILED_FILE).exists()
    assert (tmp_path / (FAILED_FILE + ".bak")).read_bytes() == failures
    store_something(tmp_path)
    with pytest.raises(UsageError):
        check(settings)


@ANOTHER
def test_another_destination_is_refused_with_old_and_new(tmp_path: Path, name: str, value: object) -> None:
    settings = settings_in(tmp_path)
    bind(settings)
    store_something(tmp_path)
    with pytest.raises(UsageError, match=r"(?s)was .*, now .*another STATE_DIR") as caught:
        bind(dataclasses.replace(settings, **{name: value}))  # type: ignore[arg-type]
    assert name.upper() in str(caught.value)


def test_run_json_without_a_kind_of_destination_is_of_a_bucket(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    bind(settings)
    store_something(tmp_path)
    old = json.loads((tmp_path / RUN_FILE).read_bytes())
    del old["DESTINATION"], old["LOCAL_ROOT"]
    (tmp_path / RUN_FILE).write_text(json.dumps(old))
    check(settings)
    check(dataclasses.replace(settings, local_root=tmp_path))  # not used with a bucket
    with pytest.raises(UsageError, match="DESTINATION: was 's3', now 'local'"):
        check(dataclasses.replace(settings, destination="local", local_root=tmp_path))


def test_state_of_a_folder_is_bound_to_it_however_it_is_spelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = dataclasses.replace(settings_in(tmp_path), destination="local", local_root=Path("images"))
    bind(settings)
    store_something(tmp_path)
    check(dataclasses.replace(settings, local_root=tmp_path / "x" / ".." / "images"))
    check(dataclasses.replace(settings, destination_bucket="", aws_endpoint_url="https://s3.example"))
    with pytest.raises(UsageError, match=r"LOCAL_ROOT: was '.*/images', now '.*/others'"):
        check(dataclasses.replace(settings, local_root=tmp_path / "others"))


@examples(150)
@given(
    st.one_of(
        st.binary(max_size=60),
        st.sampled_from([b"[" * 100_000, b"{}", b"null", b'{"URL_PREFIX": 5}', b"9" * 5000]),
    )
)
def test_any_content_of_run_json_is_a_documented_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / RUN_FILE).write_bytes(content)
    store_something(tmp_path)
    with pytest.raises(FatalError):
        bind(settings_in(tmp_path))
    assert (tmp_path / RUN_FILE).read_bytes() == content


@pytest.mark.parametrize(
    ("content", "warned"),
    [
        pytest.param(None, None, id="none"),
        pytest.param(json.dumps({"complete": True}).encode(), None, id="complete"),
        pytest.param(json.dumps({"complete": False}).encode(), "is not complete", id="stopped"),
        pytest.param(
            b'{"complete": true, "evidence": "", "doubts": ["?"]}', "nothing confirms", id="nothing-confirms"
        ),
        pytest.param(b'{"complete": true, "evidence": "it does", "doubts": ["?"]}', None, id="confirmed"),
        pytest.param(b"{", "cannot be read", id="cut"),
        pytest.param(b"[]", "cannot be read", id="a list"),
        pytest.param(b"\xff", "cannot be read", id="no text"),
        pytest.param(b"[" * 100_000, "cannot be read", id="nested without end"),
    ],
)
def test_unfinished_collection_is_warned_of(
    tmp_path: Path, content: bytes | None, warned: str | None
) -> None:
    if content is not None:
        (tmp_path / "checkpoint.json").write_bytes(content)
    warning = unfinished_collection(tmp_path / "urls.txt")
    assert warning is None if warned is None else warned in str(warning)


def test_run_is_refused_while_the_collection_goes_on(tmp_path: Path) -> None:
    urls = tmp_path / "urls.txt"
    with (
        held_lock(tmp_path / "urls.txt.lock", "collect_urls.py"),
        pytest.raises(FatalError, match="still writing"),
        standing_still(urls),
    ):
        pass
    with standing_still(urls):
        pass


def test_collection_is_refused_while_somebody_reads_its_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cdn2s3.state.files._READERS_SECONDS", 0.0)
    lock = tmp_path / "urls.txt.lock"
    with held_lock(lock, "collect_urls.py"):
        pass
    with standing_still(tmp_path / "urls.txt"), standing_still(tmp_path / "urls.txt"):
        with pytest.raises(FatalError, match=r"migrate.py or validate.py is reading") as refused:
            held_lock(lock, "collect_urls.py").__enter__()
        assert refused.value.exit_code == 3
    with held_lock(lock, "collect_urls.py"):
        pass


def test_list_that_no_collection_made_needs_no_lock(tmp_path: Path) -> None:
    with standing_still(tmp_path / "urls.txt"):
        assert list(tmp_path.iterdir()) == []


H = "https://h.example/"


@pytest.mark.parametrize(
    ("before", "now", "is_same"),
    [
        pytest.param(H, f"{H} https://i.example/=i/", True, id="one more"),
        pytest.param(H, "http://H.example:80/", True, id="another scheme of the same host"),
        pytest.param(f"{H}=a/ https://i/", f"https://i/ {H}=a/", True, id="another order"),
        pytest.param(H, f"{H} {H}a/", True, id="a folder that goes to the same place"),
        pytest.param(f"{H}a/", H, True, id="more of the same host"),
        pytest.param(f"{H} https://i/", H, False, id="one less"),
        pytest.param(H, f"{H}=a/", False, id="another place"),
        pytest.param(H, f"{H} {H}a/=a/", False, id="a folder that goes to another place"),
        pytest.param(f"{H}a/=a/", f"{H} {H}b/", False, id="its place is lost"),
    ],
)
def test_url_prefix_may_only_grow(tmp_path: Path, before: str, now: str, is_same: bool) -> None:
    settings = settings_in(tmp_path)
    bind(dataclasses.replace(settings, url_prefix=before))
    store_something(tmp_path)
    changed = dataclasses.replace(settings, url_prefix=now)
    if not is_same:
        with pytest.raises(UsageError, match="URL_PREFIX: was"):
            check(changed)
        return
    bind(changed)
    assert (
        json.loads((tmp_path / RUN_FILE).read_bytes())["URL_PREFIX"] == now
    )  # the next one is compared with this


def test_old_state_knows_no_parameters_and_new_ones_for_keys_are_another_destination(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    bind(settings)
    store_something(tmp_path)
    found = json.loads((tmp_path / RUN_FILE).read_bytes())
    del found["KEY_QUERY_PARAMS"], found["IGNORED_QUERY_PARAMS"]
    (tmp_path / RUN_FILE).write_text(json.dumps(found))
    check(settings)
    bind(dataclasses.replace(settings, ignored_query_params=("v",)))
    assert json.loads((tmp_path / RUN_FILE).read_bytes())["IGNORED_QUERY_PARAMS"] == "v"
    with pytest.raises(UsageError, match="KEY_QUERY_PARAMS: was '', now 'id'"):
        check(dataclasses.replace(settings, key_query_params=("id",)))
