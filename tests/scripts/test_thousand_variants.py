"""A thousand variants as variants.py stores them, each compared with what Pillow itself makes of the original."""

from __future__ import annotations

import random
import statistics
from pathlib import Path
from typing import Callable

import pytest

from tests.fakes.s3 import S3Server

pytest.importorskip("PIL", reason="Pillow is not installed (requirements-variants.txt)")

from tests.fakes import pictures
from tests.scripts.test_variants import Bucket

SIZES = {"small": 40, "medium": 90}
ORIGINALS = 500


def drawn(draw: random.Random) -> bytes:
    """Return a file of a size, a format, a mode and an orientation that the seed draws."""
    width, height = draw.randrange(90, 400), draw.randrange(20, 300)
    kind = draw.choice(("JPEG", "JPEG", "PNG", "WEBP", "GIF"))
    modes = {"JPEG": ("RGB", "L", "CMYK"), "PNG": ("RGB", "RGBA", "L", "LA", "P"), "GIF": ("P",)}
    image = pictures.photo(width, height, draw.choice(modes.get(kind, ("RGB", "RGBA"))))
    image = image.transpose(draw.choice(list(pictures.Image.Transpose)))
    if kind == "JPEG":
        return pictures.turned(image, draw.randrange(1, 9), quality=draw.choice((60, 82, 95)))
    return pictures.encoded(image, kind)


@pytest.mark.slow
def test_a_thousand_variants_are_what_pillow_makes_of_their_originals(
    tmp_path: Path, s3_server: Callable[..., S3Server]
) -> None:
    draw = random.Random(1713553344)
    sizes = ",".join(f"{name}:{pixels}" for name, pixels in SIZES.items())
    bucket = Bucket(tmp_path, s3_server(), VARIANT_SIZES=sizes)
    bucket.has({f"{number:04}.img": drawn(draw) for number in range(ORIGINALS)})
    ran = bucket.run()
    assert ran.code == 0, ran.said
    compared, made = 0, bucket.variants()
    differences: dict[str, float] = {}  # of each variant, in shades of 256
    for key, body in bucket.originals.items():
        for name, longest in SIZES.items():
            own = pictures.shown(pictures.encoded(pictures.pillows_own(body, longest), "WEBP", quality=80))
            found = pictures.shown(made[f"variants/{name}/{key}.webp"])
            assert found.size == own.size, key
            differences[f"{key}, {name}"] = pictures.difference(found, own)
            compared += 1
    worst = max(differences, key=lambda name: differences[name])
    assert differences[worst] < 6, (
        f"{worst}: {differences[worst]}"
    )  # another picture, or a turned one, has 40 and more
    assert statistics.median(differences.values()) < 2
    assert compared == len(made) == 2 * ORIGINALS
    bucket.assert_originals_untouched()
