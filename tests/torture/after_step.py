"""One step of a life after the move: a command, what happens meanwhile, perhaps a kill, and the look at every URL."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from typing import Callable

from tests.running import QUICK, Ran, Running, no_processes_of
from tests.torture import after_model as model
from tests.torture.after_model import End, Look, Thing, same
from tests.torture.after_records import Row, rows_of
from tests.torture.after_world import World

PATIENCE = 120.0  # seconds; a script that takes longer hangs
WAITS = {**QUICK, "cdn2s3.resilience.retry.LONGEST_WAIT": 0.05}
KILLED = 0.35  # share of the steps
STRUCK = 0.4  # share of the steps during which the site changes, or somebody else writes
Foretell = Callable[[Look], "set[End]"]


class Steps:
    """Commands in one world, each held against what the model foretells."""

    def __init__(self, world: World, say: Callable[[str], None]) -> None:
        self.world = world
        self.job = world.job
        self.folder = world.job.folder
        self.draw: random.Random = world.draw
        self.say = say
        self.steps: Counter[str] = Counter()
        self.kills = 0
        self.before: dict[tuple[str, str], Row] = {}  # the rows before the last step
        self._serial = 0  # of the steps: what was planned for one never happens in another

    def do(
        self,
        name: str,
        arguments: list[str],
        foretell: Foretell,
        kills: bool = True,
        codes: tuple[int, ...] = (0, 1),
    ) -> tuple[Ran | None, dict[str, set[End]]]:
        """Let a command run, perhaps with a kill; assert that each URL ends as foretold.

        Return what it said, None where it was killed, and the ends that were right.
        """
        self._serial += 1
        self.steps[name] += 1
        rows = rows_of(self.folder)
        looks = {url: self.look(url, rows) for url in self.world.urls}
        self.before = rows
        with self.job.running(*arguments, quick=WAITS) as running:
            struck = self._meanwhile(running) if kills else {}
            strikes_later = kills and self.draw.random() < KILLED
            dies = self._dies(running, strikes_later)
            ran = running.end(PATIENCE)
        self._serial += 1  # what did not happen in time happens no more
        self._settle()
        was_killed = ran.code == -signal.SIGKILL
        self.kills += was_killed
        assert "Traceback" not in ran.said, ran.said
        assert was_killed or ran.code in codes, f"{arguments}: exit code {ran.code}\n{ran.said}"
        assert dies or not was_killed
        ends = {url: self._foretold(looks[url], foretell, struck.get(url)) for url in looks}
        found = {url: self._found(url) for url in looks}
        for url, look in looks.items():
            among = model.killed(look, ends[url]) if was_killed else ends[url]
            right = {end._replace(told="") for end in among}
            assert found[url] in right, (
                f"step {self._serial // 2}, {name} {arguments}{' (killed)' if was_killed else ''}: {url}\n"
                f"  was {look}\n  is {found[url]}\n  may be {right}\n{ran.said}"
            )
        self.world.assert_theirs_untouched()
        self.say(f"{' '.join([name, *arguments])}{' (killed)' if was_killed else f': exit code {ran.code}'}")
        return None if was_killed else ran, ends

    def look(self, url: str, rows: dict[tuple[str, str], Row]) -> Look:
        world = self.world
        return Look(world.stack(url), rows.get((url, world.place(url))), frozenset({world.at_site(url)}))

    def _found(self, url: str) -> End:
        return same(self.look(url, rows_of(self.folder)))

    def _foretold(self, look: Look, foretell: Foretell, struck: tuple[str, str] | None) -> set[End]:
        """Return the right ends of a URL; struck is what happened to it meanwhile, and what is there now."""
        if struck is None:
            return foretell(look)
        what, digest = struck
        if what == "site":
            return foretell(look._replace(site=look.site | {digest}))
        newcomer = look._replace(
            stack=(Thing(digest, digest, int(time.time())), *look.stack), newcomer=digest
        )
        return model.with_newcomer(newcomer, foretell(look), foretell(newcomer))

    def _meanwhile(self, running: Running) -> dict[str, tuple[str, str]]:
        """Let the site change, or somebody else write, at a request of the command; return what happens."""
        world, draw, step = self.world, self.draw, self._serial
        struck: dict[str, tuple[str, str]] = {}
        if draw.random() >= STRUCK:
            return struck
        for url in draw.sample(world.urls, 2):
            at = draw.randrange(1, 2 * len(world.urls))

            def change(url: str = url) -> None:
                if self._serial == step and url not in struck:
                    world.change(url)
                    struck[url] = "site", world.at_site(url)

            def write(url: str = url) -> None:
                if self._serial == step and url not in struck and world.place(url) == "s3":
                    struck[url] = "theirs", world.put_theirs(url)

            if world.is_atomic and draw.random() < 0.5:
                world.s3.rules.at(at, write)
            else:
                world.source.rules.at(at, change)
        return struck

    def _dies(self, running: Running, dies: bool) -> bool:
        """Kill a command at a request that the seed draws, or a moment; return whether it is to be killed."""
        if not dies:
            return False
        step, draw = self._serial, self.draw

        def kill() -> None:
            if self._serial == step:
                running.send(signal.SIGKILL)

        if draw.random() < 0.8:
            rules = (self.world.s3 if draw.random() < 0.7 else self.world.source).rules
            rules.at(draw.randrange(1, 2 * len(self.world.urls)), kill)
        else:
            until = time.monotonic() + draw.uniform(0, 1)
            while time.monotonic() < until and not running.is_over:
                time.sleep(0.005)
            kill()
        return True

    def _settle(self) -> None:
        """Wait until no process of the command is left, and no request is being answered."""
        until = time.monotonic() + PATIENCE
        while not no_processes_of(self.folder):
            assert time.monotonic() < until, "processes of a killed run go on"
            time.sleep(0.01)
        self.world.s3.network.settle()
        self.world.source.network.settle()
