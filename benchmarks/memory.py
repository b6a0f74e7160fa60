"""Memory that costs the servers no more than it must: on a virtual machine first use and small pages are dear."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_SMALL_PAGE, _LARGE_PAGE = mmap.PAGESIZE, 1 << 21  # bytes
_HELD = b"held\n"


def free() -> int:
    """Return the machine's free memory in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")


@contextmanager
def at_hand(size: int) -> Iterator[None]:
    """Keep size bytes of the machine's free memory such that their next use costs no more than a page fault.

    The host of a virtual machine gives memory when it is first used, and takes it back in large pages soon
    after it is free ("free page reporting" in Linux's documentation). It has cost the benchmark's bucket up to
    1 ms for each file of 390 KB. So all of it is used once, and a small page here and there kept, which
    leaves few large ones free.
    """
    command = [sys.executable, "-m", "benchmarks.memory", str(size)]
    # In a process of its own: Linux starts a child's peak memory with that of its parent.
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        if holder.stdout.readline() != _HELD:
            raise RuntimeError(f"{size} bytes of memory cannot be held")
        yield  # leaving closes its stdin, and it ends


def _hold(size: int) -> None:
    """Use size bytes once, keep one small page of each large one, say so, and wait for the end of stdin."""
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    for page in range(0, size, _SMALL_PAGE):
        memory[page] = 1
    for start in range(0, size - _LARGE_PAGE + 1, _LARGE_PAGE):
        memory.madvise(mmap.MADV_DONTNEED, start + _SMALL_PAGE, _LARGE_PAGE - _SMALL_PAGE)
    sys.stdout.buffer.write(_HELD)
    sys.stdout.flush()
    sys.stdin.read()


@contextmanager
def disk_in_large_pages(folder: Path) -> Iterator[None]:
    """Give folder a memory disk of its own, in pages as large as its files, where root may.

    In pages of 4 KB a virtual machine spends more on the servers' page faults than on what is measured.
    """
    mount = ["mount", "-t", "tmpfs", "-o", "huge=within_size,size=90%", "tmpfs", str(folder)]
    mounted = (
        os.geteuid() == 0 and subprocess.run(mount, stderr=subprocess.DEVNULL, check=False).returncode == 0
    )
    try:
        yield
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)


if __name__ == "__main__":
    _hold(int(sys.argv[1]))
