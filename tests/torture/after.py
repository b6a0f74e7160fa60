"""Torture, second act: after the move, runs, deltas and undos in any order, and a model that knows what must be where.

    python -m tests.torture.after                        a life of 40 steps, a seed of this moment
    python -m tests.torture.after --seed 7 --lives 20    twenty lives, seeds 7 to 26
    python -m tests.torture.after --processes 2

The site changes between the steps and during them; somebody else writes and deletes at the same keys; a third of the
steps is killed (-9) at a request, or a moment, that the seed draws. After each step, each key must hold what the model
foretells, each row, each line of changes.txt and each exit code too; nothing of somebody else's may ever be touched.
Exit code 0 when everything holds.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Callable, NamedTuple

from tests import ROOT
from tests.running import Ran, Running
from tests.torture import after_model as model
from tests.torture.after_model import Look, Undo, same
from tests.torture.after_records import (
    Change,
    Row,
    changes_of,
    failed_in,
    lines_of,
    moment,
    open_undo_of,
    rows_of,
    seconds,
    undone_of,
)
from tests.torture.after_step import PATIENCE, WAITS, Steps
from tests.torture.after_world import World


class Figures(NamedTuple):
    """What a life was."""

    seed: int
    steps: Counter[str]  # by command
    kills: int
    renewed: int
    undone: int
    seconds: float

    def __str__(self) -> str:
        steps = ", ".join(f"{count} {name}" for name, count in self.steps.most_common())
        return (
            f"seed {self.seed}: {steps}; {self.kills} kills, {self.renewed} renewed, {self.undone} undone; "
            f"{self.seconds:.0f} s"
        )


class Life(Steps):
    """One world and what happens in it."""

    def __init__(self, world: World, say: Callable[[str], None]) -> None:
        super().__init__(world, say)
        self.renewed = self.undone = 0

    # --- the beginning: what is adopted, found, in the way, and old

    def begin(self) -> None:
        """Let things be at some keys before the move; adopt, move, and let some rows be of an older version."""
        world, draw = self.world, self.draw
        adopted, found, in_the_way = (
            draw.sample(world.urls, max(1, len(world.urls) // 12)) for _ in range(3)
        )
        for url in adopted:
            world.put_theirs(url, world.source.body(url))
        ran = self.job.run("--adopt", quick=WAITS)
        assert ran.code == 0, ran.said
        for url in set(found) - set(adopted):
            world.put_theirs(url, world.source.body(url))
        for url in set(in_the_way) - {*adopted, *found}:
            world.put_theirs(url)
        self._run()
        self._forget_how()

    def _forget_how(self) -> None:
        """Let a few rows be of seven fields, as an older version wrote them."""
        lines = lines_of(self.job.path("completed.txt"))
        for number in self.draw.sample(range(len(lines)), max(1, len(lines) // 15)):
            if lines[number].endswith("\ts3"):
                lines[number] = "\t".join(lines[number].split("\t")[:7])
        self.job.path("completed.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    # --- steps

    def step(self) -> None:
        """Let things happen, then let a command run."""
        self._between()
        goes_on = open_undo_of(self.folder) is not None and self.draw.random() < 0.6
        commands = [self._run, self._delta, self._delta, self._delta, self._undo, self._look_only]
        (self._undo if goes_on else self.draw.choice(commands))()

    def end(self) -> None:
        """End what is open, move what is pending, and ask validate.py what it thinks."""
        while open_undo_of(self.folder) is not None:
            self._undo()
        self._catch_up(kills=False)
        self._validate()

    def _between(self) -> None:
        """Let the site and somebody else do a few things."""
        world, draw = self.world, self.draw
        for _ in range(draw.randrange(4)):
            url = draw.choice(world.urls)
            chance = draw.random()
            if chance < 0.6:
                world.change(url)
            elif chance < 0.7:
                (world.bring_back if url in world.gone else world.take_away)(url)
            elif chance < 0.82:
                world.put_theirs(url)
            elif chance < 0.92:
                world.delete_as_somebody_else(url)
            else:
                world.add_url()

    def _run(self) -> None:
        """Move what is pending."""
        faults = self.world.has_faults
        ran, _ = self.do("run", [], lambda look: model.moved(look, faults))
        if ran is not None:
            self._assert_code(ran, bool(self._failures()) or self._is_undo_open())

    def _delta(self) -> None:
        self._catch_up(kills=True)

    def _catch_up(self, kills: bool) -> None:
        """Do a delta, of all or of a file; look at changes.txt."""
        faults, chosen = self.world.has_faults, None
        arguments = ["--delta"]
        if self._is_undo_open():
            self.do("refused delta", arguments, lambda look: {same(look)}, kills=False, codes=(2,))
            return
        if kills and self.draw.random() < 0.25:
            chosen = set(self.draw.sample(self.world.urls, max(1, len(self.world.urls) // 4)))
            self._write("some.txt", chosen)
            arguments.append("some.txt")
        arguments += self._full()
        before = changes_of(self.folder)
        ran, ends = self.do(
            "delta", arguments,
            lambda look: model.caught_up(look, chosen is None or _url(look) in chosen, faults),
            kills,
        )  # fmt: skip
        if ran is None:
            return
        told = changes_of(self.folder)
        self.renewed += sum(change.what == "renewed" for change in told.values())
        kept = {
            url: change
            for url, change in before.items()
            if chosen is not None and url not in chosen and change.what in ("gone", "changed, not ours")
        }
        for url, among in ends.items():
            if url not in kept:
                said = told[url].what if url in told else ""
                assert said in {end.told for end in among}, f"changes.txt says {said!r} of {url}: {among}"
        assert kept.items() <= told.items(), "what an earlier delta has named is forgotten"
        is_open = any(_is_open(url, change, before) for url, change in told.items() if url not in kept)
        self._assert_code(ran, bool(self._failures()) or is_open or self._is_undo_open())

    def _full(self) -> list[str]:
        """Return the option for a delta that has to download something: it would refuse that without being told."""
        return [] if all(row.has_validator for row in rows_of(self.folder).values()) else ["--full"]

    def _look_only(self) -> None:
        """Ask what a delta and an undo would do: nothing changes."""
        kept = {path.name: path.read_bytes() for path in self.folder.iterdir() if path.suffix == ".txt"}
        words = self.draw.choice((["--delta", "--plan"], ["--undo"], ["--undo", "--since", "2026-01-01"]))
        if self._is_undo_open():
            words = ["--undo"]
        elif words[0] == "--delta":
            words = [*words, *self._full()]
        self.do("a look at", words, lambda look: {same(look)}, kills=False)
        now = {path.name: path.read_bytes() for path in self.folder.iterdir() if path.suffix == ".txt"}
        assert now == kept, f"{words} changed {sorted(name for name in now if now[name] != kept.get(name))}"

    def _undo(self) -> None:
        """Undo all, what is newer, what a file names, or what the last delta did; or go on with an undo."""
        opened, arguments, asked = (
            open_undo_of(self.folder),
            ["--undo"],
            Undo(versioned=self.world.is_versioned),
        )
        if opened is not None:
            asked = self._of_opened(asked)
        else:
            asked, arguments = self._drawn_undo(asked, arguments)
        before = len(undone_of(self.folder))
        ran, _ = self.do(
            f"undo{' again' if opened else ''}", [*arguments, "--yes"], lambda look: model.undone(look, asked)
        )
        self.undone += max(0, len(undone_of(self.folder)) - before)
        if ran is None:
            return
        assert not self._is_undo_open(), "an undo that has ended is remembered"
        rows = rows_of(self.folder)
        stays = [row for row in rows.values() if asked.covers(row) and self._was_there(row)]
        self._assert_code(ran, bool(stays))

    def _of_opened(self, asked: Undo) -> Undo:
        """Return what the undo that is not finished is about."""
        opened = open_undo_of(self.folder)
        assert opened is not None
        done = frozenset(
            (url, "local" if version == "local" else "s3")
            for url, _, _, _, version, at in undone_of(self.folder)
            if seconds(at) >= opened.began_at
        )
        asked = asked._replace(since=opened.since, opened=opened, done=done)
        if opened.file == "changes.txt":
            fields = [line.split("\t") for line in opened.lines]
            return asked._replace(changes={one[0]: Change(one[2], one[4]) for one in fields})
        return asked._replace(urls=frozenset(opened.lines)) if opened.file else asked

    def _drawn_undo(self, asked: Undo, arguments: list[str]) -> tuple[Undo, list[str]]:
        kind, rows = (
            self.draw.choice(("all", "since", "since", "file", "changes", "changes")),
            rows_of(self.folder),
        )
        if kind == "since" and rows:
            since = self.draw.choice(sorted({row.at for row in rows.values()})[-4:])
            return asked._replace(since=since), [*arguments, "--since", moment(since)]
        changes = changes_of(self.folder)
        if kind == "changes" and any(change.what == "renewed" for change in changes.values()):
            return asked._replace(changes=changes), [*arguments, "changes.txt"]
        if kind == "all" and self.draw.random() < 0.5:
            return asked, arguments
        chosen = self.draw.sample(self.world.urls, max(1, len(self.world.urls) // 5))
        self._write("some.txt", chosen)
        return asked._replace(urls=frozenset(chosen)), [*arguments, "some.txt"]

    # --- what is there

    def _failures(self) -> dict[str, str]:
        return failed_in(self.folder)

    def _is_undo_open(self) -> bool:
        return open_undo_of(self.folder) is not None

    def _was_there(self, row: Row) -> bool:
        """Whether a row was written before the last command began: one that it wrote itself is none that stays."""
        return self.before.get((row.url, row.place)) == row

    def _write(self, name: str, urls: object) -> None:
        assert isinstance(urls, (list, set))
        (self.folder / name).write_text("".join(f"{url}\n" for url in sorted(urls)), encoding="utf-8")

    def _assert_code(self, ran: Ran, is_open: bool) -> None:
        assert ran.code == (1 if is_open else 0), (
            f"exit code {ran.code}, and it should be {int(is_open)}\n{ran.said}"
        )

    def _validate(self) -> None:
        """Assert that validate.py names what is missing and what differs, that and no more."""
        rows = rows_of(self.folder)
        looks = [(url, self.look(url, rows)) for url in self.world.urls]
        with Running(
            [sys.executable, str(ROOT / "validate.py"), "--spot-check", "0"], self.folder
        ) as running:
            ran = running.end(PATIENCE)
        assert ran.code in (0, 1), ran.said
        missing = {line.split("\t")[0] for line in lines_of(self.job.path("missing.txt"))}
        mismatched = {line.split("\t")[0] for line in lines_of(self.job.path("mismatched.txt"))}
        assert missing == {url for url, look in looks if look.top is None}, ran.said
        in_the_way = {url for url, cause in self._failures().items() if cause == "conflict"}
        differing = {url for url, look in looks if look.row and look.top and not look.is_recorded}
        assert mismatched == differing | in_the_way, ran.said
        assert lines_of(self.job.path("unexpected.txt")) == [], ran.said
        self.say(f"validate.py: {len(missing)} missing, {len(mismatched)} differ")


def _url(look: Look) -> str:
    return look.row.url if look.row else ""


def _is_open(url: str, change: Change, before: dict[str, Change]) -> bool:
    """Whether a line of changes.txt is left for a person: what the delta before has named is not."""
    if change.what in ("renewed", "replaced"):
        return False
    if change.what == "gone":
        return before.get(url, change._replace(what="")).what != "gone"
    return not (change.what == "changed, not ours" and before.get(url) == change)


def life(
    folder: Path, seed: int, steps: int, urls: int, say: Callable[[str], None] = print, **settings: object
) -> Figures:
    """Live one life, and assert that everything holds; return the figures."""
    began = time.monotonic()
    with World(folder, seed, urls, settings) as world:
        say(f"life with seed {seed}: {urls} URLs, {world}")
        lived = Life(world, say)
        lived.begin()
        for _ in range(steps):
            lived.step()
        lived.end()
    return Figures(seed, lived.steps, lived.kills, lived.renewed, lived.undone, time.monotonic() - began)


def main() -> int:
    parser = argparse.ArgumentParser(description="Torture what comes after the move.")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--lives", type=int, default=1, help="with the seeds from --seed on")
    parser.add_argument("--steps", type=int, default=40, help="of each life")
    parser.add_argument("--urls", type=int, default=40, help="at the beginning of each")
    parser.add_argument("--processes", default="1", help="PROCESSES of the migration")
    parser.add_argument("--quiet", action="store_true", help="a line a life")
    given = parser.parse_args()
    say = (lambda line: None) if given.quiet else print
    for seed in range(given.seed, given.seed + given.lives):
        with tempfile.TemporaryDirectory(prefix="torture") as folder:
            print(
                life(Path(folder), seed, given.steps, given.urls, say, PROCESSES=given.processes), flush=True
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
