"""Processes that draw: a decoder that hangs, dies or cannot start costs its process, and nobody else's image."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Callable

import pytest

from cdn2s3.errors import Cancelled, FatalError
from cdn2s3.settings.variant_sizes import VariantSize
from cdn2s3.variants import drawing_pool
from cdn2s3.variants.drawing_pool import Draw, DrawingPool, processes_of
from cdn2s3.variants.drawn import Drawn, Undrawable

SIZES = (VariantSize("small", 100),)
NewPool = Callable[..., DrawingPool]


def obedient(body: bytes, sizes: Sequence[VariantSize], max_pixels: float) -> Drawn:
    """Do what body says: the process id is the width that is returned."""
    order, _, argument = body.decode().partition(" ")
    if order == "hang":
        time.sleep(600)
    if order == "die":
        os.kill(os.getpid(), signal.SIGSEGV)
    if order == "die-once" and not Path(argument).exists():
        Path(argument).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if order == "refuse":
        raise Undrawable("too_large", argument)
    if order == "raise":
        raise RuntimeError("a bug")
    return Drawn(os.getpid(), int(max_pixels), [])


def loaded() -> Draw:
    return obedient


def unloadable() -> Draw:
    raise ImportError("no Pillow")


@pytest.fixture
def new_pool() -> Iterator[NewPool]:
    made = []

    def make(count: int = 1, load: Callable[[], Draw] = loaded, **more: float) -> DrawingPool:
        made.append(DrawingPool(count, 7, threading.Event(), load, **more))
        return made[-1]

    yield make
    for pool in made:
        pool.close()


def test_process_is_used_again_and_refusals_come_back(new_pool: NewPool) -> None:
    pool = new_pool()
    first = pool.draw(b"draw", SIZES)
    assert first.width != os.getpid() and first.height == 7
    with pytest.raises(Undrawable) as refused:
        pool.draw(b"refuse why not", SIZES)
    assert (refused.value.cause, refused.value.message) == ("too_large", "why not")
    assert pool.draw(b"draw", SIZES) == first


def test_decoder_that_hangs_is_ended_after_its_limit(new_pool: NewPool) -> None:
    pool = new_pool(limit=1.0)
    before = pool.draw(b"draw", SIZES).width
    with pytest.raises(Undrawable, match="longer than 1 s"):
        pool.draw(b"hang", SIZES)
    assert not Path(f"/proc/{before}").exists()
    assert pool.draw(b"draw", SIZES).width != before


@pytest.mark.parametrize(("order", "how"), [(b"die", "SIGSEGV"), (b"raise", "exit code 1")])
def test_decoder_that_dies_each_time_is_the_images_fault(new_pool: NewPool, order: bytes, how: str) -> None:
    pool = new_pool()
    with pytest.raises(Undrawable, match=how) as undrawable:
        pool.draw(order, SIZES)
    assert undrawable.value.cause == "undecodable"
    assert pool.draw(b"draw", SIZES)


def test_process_that_is_killed_once_is_not_the_images_fault(new_pool: NewPool, tmp_path: Path) -> None:
    pool = new_pool()
    assert pool.draw(b"die-once %b" % os.fsencode(tmp_path / "mark"), SIZES)


def test_stopped_process_that_reads_nothing_holds_up_nobody(new_pool: NewPool) -> None:
    pool = new_pool(limit=1.0)
    os.kill(pool.draw(b"draw", SIZES).width, signal.SIGSTOP)
    with pytest.raises(Undrawable, match="longer than 1 s"):
        pool.draw(b"draw " + bytes(5_000_000), SIZES)
    assert pool.draw(b"draw", SIZES)


def test_process_that_cannot_start_stops_the_run(new_pool: NewPool) -> None:
    with pytest.raises(FatalError, match=r"cannot start \(ImportError: no Pillow\)"):
        new_pool(load=unloadable).draw(b"draw", SIZES)


def test_stop_ends_what_is_being_drawn(new_pool: NewPool) -> None:
    pool = new_pool()
    process = pool.draw(b"draw", SIZES).width
    with ThreadPoolExecutor(1) as thread:
        hanging = thread.submit(pool.draw, b"hang", SIZES)
        time.sleep(0.1)
        pool._stop.set()
        with pytest.raises(Cancelled):
            hanging.result(5)
    assert not Path(f"/proc/{process}").exists()


def test_threads_share_the_processes(new_pool: NewPool) -> None:
    pool = new_pool(2)
    with ThreadPoolExecutor(8) as threads:
        used = {drawn.width for drawn in threads.map(lambda _: pool.draw(b"draw", SIZES), range(40))}
    assert 1 <= len(used) <= 2


def test_alarm_ends_a_hanging_decoder_whose_parent_is_gone() -> None:
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    a_second = 1 - drawing_pool._GRACE
    alone = spawn.Process(target=drawing_pool.serve, args=(theirs, loaded, a_second))
    alone.start()
    ours.recv()
    ours.send((b"hang", SIZES, 7))
    alone.join(10)
    assert alone.exitcode == -signal.SIGALRM


def test_processes_are_one_for_each_core_or_more() -> None:
    cores = len(os.sched_getaffinity(0))
    assert [processes_of(1), processes_of("auto"), processes_of(100)] == [cores, cores, 100]
    assert drawing_pool.LIMIT == 60
