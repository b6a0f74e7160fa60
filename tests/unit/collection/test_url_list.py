"""urls.txt and rejected.txt: each URL once, why others are not there, the way back to a checkpoint."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from cdn2s3.collection import checkpoint
from cdn2s3.collection.base import Batch
from cdn2s3.collection.checkpoint import Checkpoint, Counts
from cdn2s3.collection.files.lot_files import LotPosition
from cdn2s3.collection.url_list import UrlList, first_urls
from cdn2s3.errors import FatalError, UsageError
from cdn2s3.settings.collection_settings import CollectionSettings
from cdn2s3.settings.loading import build

PREFIX = "https://cdn.test/"
START = LotPosition(0, "hash")


@pytest.fixture
def settings(tmp_path: Path) -> CollectionSettings:
    values = {
        "SOURCE": "lots",
        "URL_PREFIX": PREFIX,
        "OUTPUT_FILE": str(tmp_path / "urls.txt"),
        "CHECKPOINT_FILE": str(tmp_path / "checkpoint.json"),
        "CHECKPOINT_INTERVAL": "3",
    }
    return build(CollectionSettings, values, {}, Path("collection.env"))


def nothing_yet() -> Checkpoint:
    return Checkpoint(False, Counts(), 0, 0, START._asdict(), {})


def batch(*urls: Any) -> Batch:
    return Batch(list(urls), None, items=len(urls))


def loaded(settings: CollectionSettings) -> Checkpoint:
    found = checkpoint.load(settings.checkpoint_file)
    assert found is not None
    return found


def rejected(settings: CollectionSettings) -> list[str]:
    return settings.output_file.with_name("rejected.txt").read_text(encoding="utf-8").split("\n")[:-1]


def test_each_url_is_written_once_in_order(settings: CollectionSettings) -> None:
    with UrlList(settings, nothing_yet()) as urls:
        assert urls.add(batch(PREFIX + "b.jpg", PREFIX + "a.jpg", PREFIX + "b.jpg")) == 2
        assert urls.add(batch(PREFIX + "a.jpg", PREFIX + "é c.jpg", None)) == 1
        assert urls.counts == Counts(urls=3, duplicates=2, items=6)
    content = settings.output_file.read_bytes()
    assert content == f"{PREFIX}b.jpg\n{PREFIX}a.jpg\n{PREFIX}é c.jpg\n".encode()
    assert settings.output_file.stat().st_mode & 0o777 == 0o600


REJECTED: list[Any] = [
    pytest.param(5, "5\tnot a string", id="number"),
    pytest.param({"a": "x\ty"}, '{"a": "x\\ty"}\tnot a string', id="object"),
    pytest.param("", "\tnot an http or https URL", id="empty"),
    pytest.param("ftp://cdn.test/a.jpg", "ftp://cdn.test/a.jpg\tnot an http or https URL", id="ftp"),
    pytest.param(
        "https://other.test/a.jpg",
        f"https://other.test/a.jpg\tanother host, other.test: not under URL_PREFIX {PREFIX}",
        id="foreign",
    ),
    pytest.param(PREFIX, f"{PREFIX}\tno file name", id="no-name"),
    pytest.param(PREFIX + "a/", f"{PREFIX}a/\tno file name", id="a-folder"),
    pytest.param(PREFIX + "a/../b.jpg", f"{PREFIX}a/../b.jpg\ta .. segment", id="dots"),
    pytest.param(PREFIX + "a.jpg\nx", f"{PREFIX}a.jpg%0Ax\ta control character", id="newline"),
    pytest.param(PREFIX + "a\t.jpg", f"{PREFIX}a%09.jpg\ta control character", id="tab"),
    pytest.param(PREFIX + "a%0a.jpg", f"{PREFIX}a%0a.jpg\ta control character", id="encoded-newline"),
    pytest.param(PREFIX + "\ud800.jpg", f"{PREFIX}%ED%A0%80.jpg\tnot UTF-8", id="lone-surrogate"),
    pytest.param(" " + PREFIX + "a.jpg", f" {PREFIX}a.jpg\tspaces around the URL", id="leading-blank"),
    pytest.param(
        "https://user:s3cret@cdn.test/a.jpg",
        f"https://***@cdn.test/a.jpg\tnot under URL_PREFIX {PREFIX}",
        id="user-part",
    ),
    pytest.param(
        "https://u:s3@cret@cdn.test/a.jpg",
        f"https://***@cdn.test/a.jpg\tnot under URL_PREFIX {PREFIX}",
        id="user-part-with-at",
    ),
    pytest.param("u:s3cret@cdn.test/a.jpg", "***@cdn.test/a.jpg\tnot an http or https URL", id="no-scheme"),
]


@pytest.mark.parametrize(("url", "line"), REJECTED)
def test_url_that_is_not_to_migrate_is_rejected_with_its_reason(
    settings: CollectionSettings, url: Any, line: str
) -> None:
    with UrlList(settings, nothing_yet()) as urls:
        assert urls.add(batch(url)) == 0
        assert urls.counts.rejected == 1
    assert rejected(settings) == [line]
    assert settings.output_file.read_bytes() == b""


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


def test_first_batch_that_is_rejected_as_a_whole_is_told_once(
    settings: CollectionSettings, caplog: pytest.LogCaptureFixture
) -> None:
    foreign = [f"https://u:s3cret@other.test/{number}.jpg?t=s3cret" for number in range(3)]
    with UrlList(settings, nothing_yet()) as urls:
        urls.add(batch(PREFIX + "a.jpg", "https://other.test/a.jpg"))
        urls.add(batch())
        urls.add(batch(None))
        urls.add(batch(PREFIX + "a.jpg", "https://other.test/a.jpg"))  # one rejected, the other a duplicate
        assert warnings(caplog) == []
        urls.add(batch(*foreign))
        urls.add(batch(*foreign))
    (said,) = warnings(caplog)
    assert said.startswith(
        "the last 3 URLs were all rejected, for example "
        f"https://***@other.test/0.jpg?t=s3cret: another host, other.test: not under URL_PREFIX {PREFIX}. "
    )
    assert "correct URL_PREFIX" in said
    assert "python collect_urls.py --restart" in said


def test_checkpoint_tells_the_lengths_of_both_files(settings: CollectionSettings) -> None:
    with UrlList(settings, nothing_yet()) as urls:
        urls.add(batch(PREFIX + "a.jpg", "bad"))
        urls.save(START)
    saved = loaded(settings)
    assert saved.bytes == settings.output_file.stat().st_size
    assert saved.rejected_bytes == settings.output_file.with_name("rejected.txt").stat().st_size
    assert (saved.complete, saved.position, saved.counts.urls) == (False, START._asdict(), 1)


def test_save_is_due_after_the_interval(settings: CollectionSettings) -> None:
    with UrlList(settings, nothing_yet()) as urls:
        urls.add(batch(PREFIX + "1", PREFIX + "2"))
        assert not urls.save_is_due()
        urls.add(batch(PREFIX + "3"))
        assert urls.save_is_due()
        urls.save(START)
        assert not urls.save_is_due()


def test_save_is_due_after_a_minute(settings: CollectionSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("cdn2s3.collection.url_list.time.monotonic", lambda: now[0])
    with UrlList(settings, nothing_yet()) as urls:
        now[0] += 59
        assert not urls.save_is_due()
        now[0] += 1
        assert urls.save_is_due()


def test_resume_cuts_back_to_the_checkpoint_and_knows_the_urls_before(settings: CollectionSettings) -> None:
    with UrlList(settings, nothing_yet()) as urls:
        urls.add(batch(PREFIX + "a", PREFIX + "b", "bad"))
        urls.save(START)
        urls.add(batch(PREFIX + "c", "worse"))
    with settings.output_file.open("ab") as file:
        file.write(b"https://cdn.test/to")
    with UrlList(settings, loaded(settings)) as urls:
        assert settings.output_file.read_bytes() == f"{PREFIX}a\n{PREFIX}b\n".encode()
        assert len(rejected(settings)) == 1
        assert urls.add(batch(PREFIX + "b", PREFIX + "c")) == 1
        assert urls.counts == Counts(urls=3, duplicates=1, rejected=1, items=5)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"https://cdn.test/a\n",
        b"https://cdn.test/a\nhttps://cdn.test/a\n",
        b"https://cdn.test/a\nhttps://cdn.test/\n\n",
    ],
    ids=["empty", "shorter", "a-line-twice", "other-lines"],
)
def test_resume_refuses_a_file_that_is_not_the_checkpoints(
    settings: CollectionSettings, content: bytes
) -> None:
    with UrlList(settings, nothing_yet()) as urls:
        urls.add(batch(PREFIX + "a", PREFIX + "b"))
        urls.save(START)
    settings.output_file.write_bytes(content)
    with pytest.raises(FatalError, match="--restart") as caught:
        UrlList(settings, loaded(settings))
    assert caught.value.exit_code == 3


def test_rejected_file_that_is_shorter_is_refused(settings: CollectionSettings) -> None:
    with UrlList(settings, nothing_yet()) as urls:
        urls.add(batch(PREFIX + "a", "bad"))
        urls.save(START)
    settings.output_file.with_name("rejected.txt").unlink()
    with pytest.raises(FatalError, match=r"rejected\.txt"):
        UrlList(settings, loaded(settings))


def test_batch_that_is_half_written_is_not_in_the_checkpoint(
    settings: CollectionSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with UrlList(settings, nothing_yet()) as urls:
        urls.add(batch(PREFIX + "a"))

        def full(*unused: object) -> None:
            raise FatalError("disk full")

        monkeypatch.setattr(urls._rejected, "append", full)
        with pytest.raises(FatalError, match="disk full"):
            urls.add(batch(PREFIX + "b", "bad"))
        urls.save(START)
    with UrlList(settings, loaded(settings)) as urls:
        assert settings.output_file.read_bytes() == f"{PREFIX}a\n".encode()
        assert urls.add(batch(PREFIX + "b")) == 1


def test_checkpoint_is_not_written_when_urls_are_not_on_disk(
    settings: CollectionSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(fd: int) -> None:
        raise OSError(5, os.strerror(5))

    urls = UrlList(settings, nothing_yet())
    urls.add(batch(PREFIX + "a"))
    with monkeypatch.context() as patch:
        patch.setattr("cdn2s3.state.files.os.fsync", fails)
        with pytest.raises(FatalError, match="Input/output error"):
            urls.save(START)
        with pytest.raises(FatalError, match="Input/output error"):
            urls._urls.close()
    urls._rejected.close()
    assert not settings.checkpoint_file.exists()


FIRST: list[Any] = [
    pytest.param(b"https://cdn.test/a.jpg\nhttps://cdn.test/b.jpg\n", PREFIX + "a.jpg", id="plain"),
    pytest.param(
        b"\xef\xbb\xbf\r\nhttps://cdn.test/a b.jpg#x\r\n", PREFIX + "a%20b.jpg", id="bom-crlf-fragment"
    ),
    pytest.param(b"", None, id="empty"),
]


def listed(path: Path) -> CollectionSettings:
    return build(
        CollectionSettings, {"SOURCE": "lots", "OUTPUT_FILE": str(path), "URL_PREFIX": PREFIX}, {}, path
    )


@pytest.mark.parametrize(("content", "url"), FIRST)
def test_first_url_is_as_it_is_sent(tmp_path: Path, content: bytes, url: Any) -> None:
    path = tmp_path / "urls.txt"
    path.write_bytes(content)
    assert first_urls(listed(path))[:1] == [url] * bool(url)


@pytest.mark.parametrize("content", [b"https://evil.test/a.jpg\n", b"\xff\n"], ids=["foreign", "latin-1"])
def test_first_url_elsewhere_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "urls.txt"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="first line"):
        first_urls(listed(path))


def test_first_url_of_a_missing_file_is_fixable(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="OUTPUT_FILE"):
        first_urls(listed(tmp_path / "urls.txt"))
