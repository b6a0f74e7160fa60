"""What drawing returns or raises, for the processes on both ends of the pipe: without Pillow."""

from __future__ import annotations

from typing import NamedTuple

UNDECODABLE, TOO_LARGE, NOT_AN_IMAGE = "undecodable", "too_large", "not_an_image"


class Picture(NamedTuple):
    """An image in one size."""

    size: str  # its name
    width: int
    height: int
    body: bytes  # WebP


class Drawn(NamedTuple):
    """What was drawn of an original."""

    width: int  # of the original, upright
    height: int
    pictures: list[Picture]  # of the sizes that it is not smaller than


class Undrawable(Exception):
    """No variants can be made of an original."""

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(cause, message)
        self.cause = cause  # one of the three above
        self.message = message  # one line for people
