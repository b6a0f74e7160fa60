"""A complete collection that is collected again: what is appended, replaced, gone; every moment of a crash."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from cdn2s3.collection import checkpoint, resume, update
from cdn2s3.collection.base import Batch, Verdict
from cdn2s3.collection.checkpoint import Checkpoint, Counts
from cdn2s3.collection.files.lot_files import LotPosition
from cdn2s3.collection.known_lines import KnownLines
from cdn2s3.collection.url_list import UrlList
from cdn2s3.errors import FatalError
from cdn2s3.settings.collection_settings import CollectionSettings
from cdn2s3.settings.loading import build

PREFIX = "https://cdn.test/"
START = LotPosition(0, "hash")
VOUCHED = Verdict("it is so", ())


@pytest.fixture
def settings(tmp_path: Path) -> CollectionSettings:
    values = {
        "SOURCE": "lots",
        "URL_PREFIX": PREFIX,
        "IGNORED_QUERY_PARAMS": "s",
        "OUTPUT_FILE": str(tmp_path / "urls.txt"),
        "CHECKPOINT_FILE": str(tmp_path / "checkpoint.json"),
    }
    return build(CollectionSettings, values, {}, Path("collection.env"))


def batch(*names: str) -> Batch:
    return Batch([PREFIX + name for name in names], None, items=len(names))


def collected(settings: CollectionSettings, *names: str) -> Checkpoint:
    """Collect names to the end; return the checkpoint."""
    with UrlList(settings, Checkpoint(False, Counts(), 0, 0, START._asdict(), {})) as urls:
        urls.add(batch(*names))
        urls.finish(VOUCHED, None)
    done = loaded(settings)
    checkpoint.save(settings.checkpoint_file, done._replace(finished_at="2026-11-20T10:00:00Z"))
    return loaded(settings)


def loaded(settings: CollectionSettings) -> Checkpoint:
    found = checkpoint.load(settings.checkpoint_file)
    assert found is not None
    return found


def updated(settings: CollectionSettings, *names: str, found: Verdict = VOUCHED) -> Verdict:
    begun = update.begin(settings, loaded(settings), START)
    with update.UpdatedList(settings, begun) as urls:
        urls.add(batch(*names))
        return urls.finish(found, None)


def lines(path: Path) -> list[str]:
    return [line.replace(PREFIX, "") for line in path.read_text(encoding="utf-8").splitlines()]


def test_lines_keep_their_order_and_new_ones_are_appended(settings: CollectionSettings) -> None:
    collected(settings, "c", "a", "b")
    worth = updated(settings, "n", "b", "a", "c", "m")
    assert worth == VOUCHED
    assert lines(settings.output_file) == ["c", "a", "b", "n", "m"]
    done = loaded(settings)
    assert done.complete and done.update is not None
    assert (done.update.known, done.update.new, done.update.gone, done.bytes) == (3, 2, 0, 95)
    assert sorted(path.name for path in settings.output_file.parent.iterdir()) == [
        "checkpoint.json",
        "rejected.txt",
        "urls.txt",
    ]


def test_gone_urls_stay_in_the_list_and_are_named_with_the_time_they_were_seen(
    settings: CollectionSettings,
) -> None:
    collected(settings, "a", "b", "c", "d")
    worth = updated(settings, "a", "c")
    assert lines(settings.output_file) == ["a", "b", "c", "d"]
    gone = update.gone_file(settings.output_file)
    assert lines(gone) == ["b\t2026-11-20T10:00:00Z", "d\t2026-11-20T10:00:00Z"]
    assert worth.doubts[0].startswith("2 URLs are newly gone")
    assert resume.judged_again(settings, loaded(settings)).doubts == worth.doubts

    checkpoint.save(settings.checkpoint_file, loaded(settings)._replace(finished_at="2026-11-21T10:00:00Z"))
    worth = updated(settings, "b", "c")  # b is back, a is newly gone, d is not
    assert lines(gone) == ["a\t2026-11-21T10:00:00Z", "d\t2026-11-20T10:00:00Z"]
    assert worth.doubts[0].startswith("1 URL is newly gone")
    assert updated(settings, "b", "c").doubts == ()
    updated(settings, "a", "b", "c", "d")
    assert lines(gone) == []


def test_nothing_is_called_gone_without_evidence(settings: CollectionSettings) -> None:
    collected(settings, "a", "b")
    worth = updated(settings, "a", found=Verdict("", ("nothing vouches",)))
    assert worth.doubts == ("nothing vouches",)
    assert not update.gone_file(settings.output_file).exists()
    done = loaded(settings)
    assert done.update is not None and (done.update.gone, done.update.newly_gone) == (1, 0)


def test_key_of_the_line_ends_its_row_in_gone(settings: CollectionSettings) -> None:
    collected(settings, "a", "b")
    settings.output_file.write_text(f"{PREFIX}a\n{PREFIX}b\tkey=x/b.jpg\n")
    size = settings.output_file.stat().st_size
    checkpoint.save(settings.checkpoint_file, loaded(settings)._replace(bytes=size))
    for _ in range(2):
        updated(settings, "a")
        assert lines(update.gone_file(settings.output_file)) == ["b\t2026-11-20T10:00:00Z\tkey=x/b.jpg"]


def test_url_that_changed_only_in_ignored_parameters_is_replaced(settings: CollectionSettings) -> None:
    collected(settings, "a?s=1", "b", "c?s=1", "d?s=1")
    updated(settings, "n?s=2", "c?s=2", "b", "a?s=2", "a?s=3")
    assert lines(settings.output_file) == ["a?s=3", "b", "c?s=2", "d?s=1", "n?s=2"]
    done = loaded(settings)
    assert done.update is not None
    assert (done.update.changed, done.update.known, done.update.gone) == (2, 3, 1)
    assert done.bytes == settings.output_file.stat().st_size
    updated(settings, "a?s=3", "b?s=9", "c?s=2", "d?s=1", "n?s=2")
    assert lines(settings.output_file) == ["a?s=3", "b?s=9", "c?s=2", "d?s=1", "n?s=2"]


class Crash(BaseException):
    """What stops the process at a moment of its own."""


Step = Callable[..., object]


def crashing(monkeypatch: pytest.MonkeyPatch, after: int) -> list[int]:
    """Make the after-th change to the disk in update.py the last one; return a list that counts them."""
    count = [0]

    def counted(step: Step) -> Step:
        def run(*arguments: object, **more: object) -> object:
            if count[0] == after:
                raise Crash
            count[0] += 1
            return step(*arguments, **more)

        return run

    monkeypatch.setattr(update, "replacing", counted(update.replacing))
    monkeypatch.setattr(update.checkpoint, "save", counted(checkpoint.save))
    monkeypatch.setattr(Path, "replace", counted(Path.replace))
    monkeypatch.setattr(Path, "unlink", counted(Path.unlink))
    return count


def moments() -> Iterable[int]:
    return range(14)


@pytest.mark.parametrize("after", moments())
def test_crash_at_any_moment_of_the_end_loses_nothing(
    settings: CollectionSettings, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    collected(settings, "a?s=1", "b", "c?s=1")
    begun = update.begin(settings, loaded(settings), START)
    with update.UpdatedList(settings, begun) as urls:
        urls.add(batch("a?s=2", "b", "n"))
        with monkeypatch.context() as patched:
            crashing(patched, after)
            with contextlib.suppress(Crash):
                urls.finish(VOUCHED, None)
    so_far = loaded(settings)
    if update.has_ended(so_far):
        update.finish(settings)
    elif not so_far.complete:  # the walk itself is resumed
        with update.UpdatedList(settings, so_far) as urls:
            urls.add(batch("a?s=2", "b", "n"))
            urls.finish(VOUCHED, None)
    assert lines(settings.output_file) == ["a?s=2", "b", "c?s=1", "n"]
    assert lines(update.gone_file(settings.output_file)) == ["c?s=1\t2026-11-20T10:00:00Z"]
    done = loaded(settings)
    assert done.complete and done.replacing is None and done.update is not None
    assert (done.update.newly_gone, done.bytes) == (1, settings.output_file.stat().st_size)
    assert done.doubts[0].startswith("1 URL is newly gone")
    assert len(done.doubts) == 1


def test_moments_of_the_crash_are_all_there_are(
    settings: CollectionSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    collected(settings, "a?s=1", "b", "c?s=1")
    begun = update.begin(settings, loaded(settings), START)
    with update.UpdatedList(settings, begun) as urls:
        urls.add(batch("a?s=2", "b", "n"))
        with monkeypatch.context() as patched:
            count = crashing(patched, 1000)
            urls.finish(VOUCHED, None)
    assert 6 <= count[0] < len(list(moments()))


def test_update_that_was_killed_goes_on_from_its_checkpoint(settings: CollectionSettings) -> None:
    collected(settings, "a?s=1", "b?s=1", "c?s=1")
    begun = update.begin(settings, loaded(settings), START)
    with update.UpdatedList(settings, begun) as urls:
        urls.add(batch("n?s=2", "c?s=2"))
        urls.save(START)
        urls.add(batch("m?s=2", "b?s=2"))  # after the checkpoint: cut back, and read again
    with update.UpdatedList(settings, loaded(settings)) as urls:
        assert lines(settings.output_file) == ["a?s=1", "b?s=1", "c?s=1", "n?s=2"]
        assert urls.add(batch("n?s=3", "a?s=1", "m?s=2")) == 2
        urls.finish(VOUCHED, None)
    assert lines(settings.output_file) == ["a?s=1", "b?s=1", "c?s=2", "n?s=2", "m?s=2"]
    assert lines(update.gone_file(settings.output_file)) == ["b?s=1\t2026-11-20T10:00:00Z"]


def test_failure_at_the_end_does_not_bring_the_walk_back(
    settings: CollectionSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    collected(settings, "a?s=1", "b")
    begun = update.begin(settings, loaded(settings), START)
    with update.UpdatedList(settings, begun) as urls, monkeypatch.context() as patched:
        urls.add(batch("a?s=2", "b"))
        crashing(patched, 5)
        with pytest.raises(Crash):
            urls.finish(VOUCHED, None)
        urls.save(START)  # what a FatalError or a signal does
    assert update.has_ended(loaded(settings))


@pytest.mark.parametrize("name", ["urls.txt", "urls.txt.update"])
def test_file_that_is_not_the_updates_own_stops_it(
    settings: CollectionSettings, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    collected(settings, "a?s=1", "b")
    begun = update.begin(settings, loaded(settings), START)
    with update.UpdatedList(settings, begun) as urls, monkeypatch.context() as patched:
        urls.add(batch("a?s=2", "b"))
        crashing(patched, 6)
        with pytest.raises(Crash):
            urls.finish(VOUCHED, None)
    assert loaded(settings).replacing is not None
    path = settings.output_file.with_name(name)
    path.write_bytes(b"9999\n")
    settings.output_file.with_name("urls.txt.new").unlink(missing_ok=True)
    with pytest.raises(FatalError, match="--restart"):
        update.finish(settings)
    assert path.read_bytes() == b"9999\n"


def test_list_that_was_edited_is_not_cut_back(settings: CollectionSettings) -> None:
    collected(settings, "a")
    with settings.output_file.open("a") as file:
        file.write(f"{PREFIX}mine\n")
    with pytest.raises(FatalError, match="complete collection was"):
        update.begin(settings, loaded(settings), START)
    assert lines(settings.output_file) == ["a", "mine"]
    assert loaded(settings).complete


def test_expected_total_says_nothing_about_an_update(settings: CollectionSettings) -> None:
    collected(settings, "a", "b")
    updated(settings, "a", "b", "c")
    done = loaded(settings)
    assert resume.settings_of(settings, done).expected_total is None
    assert resume.settings_of(settings, done._replace(update=None)) is settings


def test_walk_that_began_again_counts_what_it_has_not_met_yet(settings: CollectionSettings) -> None:
    with UrlList(settings, Checkpoint(False, Counts(), 0, 0, START._asdict(), {})) as urls:
        assert urls.add(batch("a", "b")) == 2
        assert urls.add(batch("a", "b")) == 0
        urls.begin_again(START)
        assert urls.add(batch("a")) == 1  # known, but the walk is no loop
        assert urls.add(batch("a")) == 0
    assert loaded(settings).again


def test_lines_of_one_identity_are_met_together() -> None:
    known = KnownLines()
    assert [known.add(b"a", line) for line in (b"a?1", b"a?2")] == [False, True]
    assert (known.number(b"a"), known.is_met(0), known.is_met(1)) == (0, False, True)


def test_restart_keeps_what_an_update_has_written(settings: CollectionSettings) -> None:
    collected(settings, "a", "b")
    updated(settings, "a")
    resume.move_aside(settings)
    names = sorted(path.name for path in settings.output_file.parent.iterdir())
    assert names == ["checkpoint.json.bak", "gone.txt.bak", "rejected.txt.bak", "urls.txt.bak"]
