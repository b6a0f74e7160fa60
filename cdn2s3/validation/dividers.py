"""Keys that divide the listing of a place into parts with about equally many expected objects."""

from __future__ import annotations

import random

from cdn2s3.keys import InvalidUrl, KeyMaker
from cdn2s3.planning.survey import UrlSurvey

KEYS_A_PART = 8_000  # expected ones: eight pages of S3's listing, since each part costs up to one more
FEW_PARTS = 16  # that a list is divided into at least, if they get
FEWEST_KEYS = 2_000  # each
_SAMPLE = 16  # lines that are drawn for each part


def dividers(work: UrlSurvey, keys: KeyMaker) -> list[str]:
    """Return the keys after which each part but the first begins, sorted by their UTF-8 bytes; none for short lists.

    They are drawn from the lines of urls.txt, the same ones each time. Raise FatalError when it cannot be read.
    """
    parts = max(work.lines // KEYS_A_PART, min(FEW_PARTS, work.lines // FEWEST_KEYS))
    if parts < 2:
        return []
    drawn = random.Random(work.lines).sample(range(work.lines), parts * _SAMPLE)  # noqa: S311  # nothing secret
    sample = set()
    for number in sorted(drawn):
        try:
            sample.add(keys.known(work.line(number))[0].decode())
        except InvalidUrl:
            continue
    ordered = sorted(sample)  # text is sorted as its UTF-8 bytes are
    step = max(1, round(len(ordered) / parts))
    return ordered[step::step]
