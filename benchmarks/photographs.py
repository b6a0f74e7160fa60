"""Make the files that a benchmark moves: JPEGs by their first and last bytes, random in between. Seeded."""

from __future__ import annotations

import filecmp
import math
import random
from pathlib import Path
from typing import NamedTuple

KB = 1000
JPEG_HEAD = bytes.fromhex("ffd8ffe000104a46494600010100000100010000")
JPEG_END = b"\xff\xd9"
_PER_FOLDER = 100
_NOISE_BYTES = 32_000_000


class Sizes(NamedTuple):
    """A distribution of file sizes: log-normal, cut at both ends. All in bytes."""

    name: str
    mean: int
    sigma: float  # of the logarithm; 0: all files have the mean size
    least: int
    most: int


LARGE = Sizes("390 KB", 390 * KB, 0.6, 20 * KB, 5_000 * KB)
SMALL = Sizes("20 KB", 20 * KB, 0.3, 8 * KB, 40 * KB)
HUGE = Sizes("9.9 MB", 9_900 * KB, 0.0, 9_900 * KB, 9_900 * KB)


def sizes_of(sizes: Sizes, count: int, seed: int = 1) -> list[int]:
    """Return count sizes in bytes."""
    random_ = random.Random(seed)
    location = math.log(sizes.mean) - sizes.sigma**2 / 2
    drawn = (round(random_.lognormvariate(location, sizes.sigma)) for _ in range(count))
    return [min(max(size, sizes.least), sizes.most) for size in drawn]


def path_of(number: int) -> str:
    """Return the path of the photograph with that number, in the production's shape."""
    auction, lot = divmod(number, _PER_FOLDER)
    return f"auctionimages/{3000 + auction}/{1713553344 + auction}/i{lot:04d}-1.jpg"


def make(folder: Path, sizes: Sizes, count: int) -> list[str]:
    """Write count photographs below folder and return their paths below it."""
    noise = memoryview(random.Random(2).randbytes(_NOISE_BYTES))
    starts = random.Random(3)
    paths = []
    for number, size in enumerate(sizes_of(sizes, count)):
        path = folder / path_of(number)
        if number % _PER_FOLDER == 0:
            path.parent.mkdir(parents=True)
        middle = size - len(JPEG_HEAD) - 8 - len(JPEG_END)
        start = starts.randrange(_NOISE_BYTES - middle)
        with path.open("wb") as file:
            file.write(JPEG_HEAD + number.to_bytes(8, "big"))
            file.write(noise[start : start + middle])
            file.write(JPEG_END)
        paths.append(path_of(number))
    return paths


def differences(source: Path, stored: Path, key_of: dict[str, str]) -> list[str]:
    """Return what is wrong with the objects below stored: absent, other bytes, or not asked for.

    key_of gives the key for each path below source.
    """
    wrong = []
    for path, key in key_of.items():
        there = stored / key
        if not there.is_file():
            wrong.append(f"{key} is absent")
        elif not filecmp.cmp(source / path, there, shallow=False):
            wrong.append(f"{key} has other bytes")
    filecmp.clear_cache()
    keys = set(key_of.values())
    found = (str(path.relative_to(stored)) for path in stored.rglob("*") if path.is_file())
    wrong += [f"{key} was not asked for" for key in found if key not in keys]
    return wrong
