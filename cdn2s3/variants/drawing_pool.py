"""The processes that draw: what a decoder does with a hostile file costs its process, never the run.

A process that crashes, or takes longer than LIMIT for one original, is replaced.
"""

from __future__ import annotations

import logging
import multiprocessing
import multiprocessing.connection
import os
import queue
import signal
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable

from cdn2s3.console.signals import STOPPING, held_back
from cdn2s3.errors import Cancelled, FatalError
from cdn2s3.settings.variant_sizes import VariantSize
from cdn2s3.variants.drawn import UNDECODABLE, Drawn, Undrawable

log = logging.getLogger(__name__)

LIMIT = 60.0  # seconds for one original
_START_LIMIT = 120.0  # seconds until a process is ready: a busy machine imports slowly
_LOOK_EVERY = 0.2  # seconds between two looks whether the run stops
_GRACE = 30  # seconds after which a process whose parent is gone ends even in the midst of an image
_TRIES = 2  # a process may also die for reasons that are not the image's
_SPAWN = multiprocessing.get_context("spawn")  # never fork after threads exist

Draw = Callable[[bytes, Sequence[VariantSize], float], Drawn]


def with_pillow() -> Draw:
    """Return drawing.draw(), imported where it runs: the parent does without Pillow."""
    from cdn2s3.variants import drawing

    return drawing.draw


def serve(pipe: multiprocessing.connection.Connection, load: Callable[[], Draw], limit: float) -> None:
    """Draw what comes through pipe until it is closed; the body of a process. The parent handles signals."""
    for ignored in STOPPING:
        signal.signal(ignored, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
    with suppress(OSError):  # Linux alone: where memory runs out, this process goes, and not the parent
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    try:
        draw = load()
    except Exception as error:  # noqa: BLE001  # a package that cannot be imported may raise anything
        pipe.send(f"{type(error).__name__}: {error}")
        return
    pipe.send("")  # ready
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        signal.alarm(int(limit) + _GRACE)  # its default is to end the process, whatever a decoder is doing
        try:
            answer: Drawn | Undrawable = draw(*job)
        except Undrawable as undrawable:
            answer = undrawable
        signal.alarm(0)
        with suppress(BrokenPipeError):  # the parent is gone; recv() ends it
            pipe.send(answer)


class _Died(Exception):
    """A process has ended in the midst of an original."""


class _Handle:
    """The parent's handle on one process."""

    def __init__(self, load: Callable[[], Draw], limit: float) -> None:
        """Start it, and wait until it is ready; raise FatalError where it does not come so far."""
        self.pipe, theirs = _SPAWN.Pipe()
        self.process = _SPAWN.Process(target=serve, args=(theirs, load, limit), daemon=True)
        with held_back():
            self.process.start()
        theirs.close()
        why_not = self._why_not_ready()
        if why_not:
            self.end()
            raise FatalError(
                f"a process that draws variants cannot start ({why_not}). Is there enough memory, and does "
                "`python -c 'from PIL import Image'` work? Then run the same command again: it resumes."
            )

    def _why_not_ready(self) -> str:
        """Wait until it is ready; return why it is not, "" if it is."""
        try:
            if not self.pipe.poll(_START_LIMIT):
                return f"it is not ready after {_START_LIMIT:.0f} s"
            return str(self.pipe.recv())
        except (EOFError, OSError):
            self.process.join()
            return self.how_it_ended()

    def how_it_ended(self) -> str:
        code = self.process.exitcode
        return signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


class DrawingPool:
    """Some processes that draw; shared by all threads, each of which waits for a free one."""

    def __init__(
        self,
        count: int,
        max_pixels: float,
        stop: threading.Event,
        load: Callable[[], Draw] = with_pillow,
        limit: float | None = None,
    ) -> None:
        """Start nothing yet.

        limit is in seconds, LIMIT if not given; load, picklable, gives each
        process what draws.
        """
        self._max_pixels = max_pixels
        self._stop = stop
        self._load = load
        self._limit = LIMIT if limit is None else limit
        self._starting = threading.Lock()
        self._free: queue.LifoQueue[_Handle | None] = queue.LifoQueue()  # None: a process to start
        self._count = count
        for _ in range(count):
            self._free.put(None)

    def draw(self, body: bytes, sizes: Sequence[VariantSize]) -> Drawn:
        """Return body drawn in sizes; raise Undrawable, Cancelled, or FatalError when no process can start."""
        how = ""
        for _ in range(_TRIES):
            try:
                return self._drawn(body, sizes)
            except _Died as died:
                how = str(died)
        raise Undrawable(UNDECODABLE, f"its decoder died ({how})")

    def _drawn(self, body: bytes, sizes: Sequence[VariantSize]) -> Drawn:
        handle = self._free.get()
        try:
            if self._stop.is_set():
                raise Cancelled
            if handle is None:
                with self._starting:
                    handle = _Handle(self._load, self._limit)
            try:
                answer = self._answer(handle, (body, tuple(sizes), self._max_pixels))
            except BaseException:
                handle.end()
                handle = None
                raise
        finally:
            self._free.put(handle)
        if isinstance(answer, Undrawable):
            raise answer
        return answer

    def _answer(self, handle: _Handle, job: tuple[Any, ...]) -> Drawn | Undrawable:
        began = time.monotonic()
        watch = threading.Timer(
            self._limit, handle.process.kill
        )  # send() would wait for ever for a stopped one
        watch.daemon = True
        watch.start()
        try:
            handle.pipe.send(job)
            while not handle.pipe.poll(_LOOK_EVERY):
                if self._stop.is_set():
                    raise Cancelled
            answer: Drawn | Undrawable = handle.pipe.recv()
            return answer
        except (EOFError, OSError):
            if time.monotonic() - began >= self._limit:
                log.warning("a decoder took longer than %.0f s: its process was ended", self._limit)
                raise Undrawable(UNDECODABLE, f"its decoder took longer than {self._limit:g} s") from None
            handle.process.join()
            how = handle.how_it_ended()
            log.warning("a process that draws variants died (%s): a new one takes its place", how)
            raise _Died(how) from None
        finally:
            watch.cancel()

    def close(self) -> None:
        """End all processes, when no thread is using them any more."""
        for _ in range(self._count):
            handle = self._free.get()
            if handle is not None:
                handle.end()


def processes_of(setting: int | str) -> int:
    """Return how many processes draw: one for each usable core, or as many as PROCESSES says if that is more."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(cores, setting) if isinstance(setting, int) else cores
