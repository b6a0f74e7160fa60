"""What is drawn of images of all kinds, compared with Pillow's own result, and of files that are none."""

from __future__ import annotations

import functools
import struct
import zlib
from collections.abc import Iterator

import pytest

pytest.importorskip("PIL", reason="Pillow is not installed (requirements-variants.txt)")

from PIL import Image, ImageCms

from cdn2s3.settings.variant_sizes import VariantSize, fitted
from cdn2s3.variants.drawing import draw
from cdn2s3.variants.drawn import Undrawable
from tests.fakes import pictures

SIZES = (VariantSize("small", 100), VariantSize("medium", 300))
MOST = 50_000_000


@functools.cache
def file_of(kind: str) -> bytes:
    return pictures.MAKERS[kind]()


@pytest.mark.parametrize("kind", pictures.MAKERS)
def test_image_is_what_pillow_makes_of_it(kind: str) -> None:
    drawn = draw(file_of(kind), SIZES, MOST)
    assert [picture.size for picture in drawn.pictures] == ["small", "medium"]
    for picture, size in zip(drawn.pictures, SIZES):
        own = pictures.pillows_own(file_of(kind), size.pixels)
        assert (picture.width, picture.height) == own.size
        assert max(own.size) == size.pixels
        found = pictures.shown(picture.body)
        assert found.size == own.size
        assert pictures.difference(found, own) < 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_red_corner_is_where_the_orientation_puts_it(orientation: int) -> None:
    [picture] = draw(file_of(f"jpeg orientation {orientation}"), SIZES[1:], MOST).pictures
    found = pictures.shown(picture.body).convert("RGB")
    right, low = found.width - 5, found.height - 5
    corners = {1: (5, 5), 2: (right, 5), 3: (right, low), 4: (5, low)}
    corners = {**corners, 5: (5, 5), 6: (right, 5), 7: (right, low), 8: (5, low)}
    red, green, blue = found.getpixel(corners[orientation])  # type: ignore[misc]
    assert red > 200 and green < 80 and blue < 80
    assert (found.height > found.width) == (orientation >= 5)


def wide_gamut() -> bytes:
    """Return a profile whose red and green are exchanged, which nobody can overlook."""
    profile = bytearray(pictures.srgb_profile())
    count = struct.unpack(">I", profile[128:132])[0]
    tags = {bytes(profile[at : at + 4]): at for at in range(132, 132 + 12 * count, 12)}
    red, green = (slice(tags[name] + 4, tags[name] + 12) for name in (b"rXYZ", b"gXYZ"))
    profile[red], profile[green] = profile[green], profile[red]
    return bytes(profile)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_colors_are_those_of_the_profile(kind: str) -> None:
    body = pictures.encoded(Image.new("RGB", (400, 400), (200, 30, 30)), kind, icc_profile=wide_gamut())
    [picture] = draw(body, SIZES[:1], MOST).pictures
    red, green, _ = pictures.shown(picture.body).convert("RGB").getpixel((50, 50))  # type: ignore[misc]
    assert green > 180 and red < 60


def test_profile_of_an_image_with_alpha_leaves_the_alpha() -> None:
    image = Image.new("RGBA", (400, 400), (200, 30, 30, 128))
    [picture] = draw(pictures.encoded(image, "PNG", icc_profile=wide_gamut()), SIZES[:1], MOST).pictures
    red, green, _, alpha = pictures.shown(picture.body).getpixel((50, 50))  # type: ignore[misc]
    assert green > 180 and red < 60 and 120 < alpha < 136


def test_profile_of_another_mode_is_not_used() -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    body = pictures.encoded(pictures.photo(), "JPEG", icc_profile=lab)
    [picture] = draw(body, SIZES[:1], MOST).pictures
    assert pictures.difference(pictures.shown(picture.body), pictures.pillows_own(body, 100)) < 4


@pytest.mark.parametrize("longest", [299, 300, 301])
def test_original_smaller_than_a_size_gets_no_variant_of_it(longest: int) -> None:
    drawn = draw(pictures.encoded(pictures.photo(200, longest), "PNG"), SIZES, MOST)
    made = ["small", "medium"] if longest >= 300 else ["small"]
    assert [picture.size for picture in drawn.pictures] == made
    assert (drawn.width, drawn.height) == (200, longest)


def test_original_that_lies_on_its_side_is_told_upright() -> None:
    drawn = draw(pictures.turned(pictures.photo(60, 40), 6), SIZES, MOST)
    assert (drawn.width, drawn.height, drawn.pictures) == (40, 60, [])


def refused(body: bytes, most: float = MOST, sizes: tuple[VariantSize, ...] = SIZES) -> Undrawable:
    with pytest.raises(Undrawable) as caught:
        draw(body, sizes, most)
    return caught.value


@pytest.mark.parametrize("share", [0.1, 0.5, 0.67, 0.75, 0.97])
@pytest.mark.parametrize("kind", ["jpeg", "jpeg progressive", "png", "gif", "webp", "avif"])
@pytest.mark.parametrize("sizes", [SIZES, (VariantSize("huge", 5000),)], ids=["drawn", "smaller"])
def test_truncated_image_is_undecodable(kind: str, share: float, sizes: tuple[VariantSize, ...]) -> None:
    body = file_of(kind)
    assert refused(body[: int(len(body) * share)], sizes=sizes).cause == "undecodable"


def png_of(width: int, height: int) -> bytes:
    """Return a PNG that claims a size and has next to no data."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def gif_with_a_larger_frame() -> bytes:
    """Return a GIF of 10 x 10 pixels whose first frame claims 60,000 x 60,000."""
    head = b"GIF89a" + struct.pack("<HHBBB", 10, 10, 0x80, 0, 0) + bytes(6)
    return head + b"," + struct.pack("<HHHHB", 0, 0, 60_000, 60_000, 0) + b"\x02\x02\x4c\x01\x00;"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(png_of(20_000, 20_000), id="png"),
        pytest.param(png_of(2**31 - 1, 2**31 - 1), id="png, the largest"),
        pytest.param(gif_with_a_larger_frame(), id="gif"),
        pytest.param(file_of("jpeg").replace(struct.pack(">HH", 480, 640), b"\xff\xff\xff\xff"), id="jpeg"),
    ],
)
def test_bomb_is_too_large_before_it_is_decoded(body: bytes) -> None:
    assert refused(body).cause == "too_large"


def test_as_many_pixels_as_allowed_are_drawn_and_no_more() -> None:
    assert draw(file_of("png"), SIZES, 640 * 480).pictures
    assert refused(file_of("png"), 640 * 480 - 1).cause == "too_large"


@pytest.mark.parametrize(
    ("body", "cause", "says"),
    [
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "not_an_image", "SVG"),
        (b"<!doctype html><title>not found</title>", "not_an_image", "not an image"),
        (b"", "not_an_image", "not an image"),
        (pictures.encoded(pictures.photo(), "TIFF"), "undecodable", "image/tiff is none of JPEG"),
        (pictures.encoded(pictures.photo(), "BMP"), "undecodable", "image/bmp is none of JPEG"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "undecodable", ""),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not_an_image", "not an image"),
    ],
    ids=["svg", "html", "nothing", "tiff", "bmp", "png of zeros", "eps"],
)
def test_what_is_no_image_is_not_drawn(body: bytes, cause: str, says: str) -> None:
    error = refused(body)
    assert (error.cause, says in error.message) == (cause, True)


def damaged(body: bytes) -> Iterator[bytes]:
    for place in range(0, len(body), max(1, len(body) // 40)):
        yield body[:place] + bytes([body[place] ^ 0xFF]) + body[place + 1 :]


@pytest.mark.parametrize(
    "kind", ["jpeg", "png palette alpha", "gif animated", "webp", "avif", "jpeg orientation 6"]
)
def test_damaged_image_is_drawn_or_refused_and_raises_nothing_else(kind: str) -> None:
    outcomes = set()
    for body in damaged(file_of(kind)):
        try:
            outcomes.add(bool(draw(body, SIZES[:1], MOST).pictures))
        except Undrawable as error:
            outcomes.add(error.cause in ("undecodable", "too_large", "not_an_image"))
    assert outcomes == {True}


@pytest.mark.parametrize("width", [1, 2, 3, 100, 333, 640, 999, 10_000])
@pytest.mark.parametrize("height", [1, 7, 100, 334, 480, 1001])
def test_sides_are_rounded_as_pillow_does(width: int, height: int) -> None:
    for longest in (1, 50, max(width, height) - 1):
        if 1 <= longest < max(width, height):
            own = Image.new("1", (width, height))
            own.thumbnail((longest, longest))
            assert fitted(width, height, longest) == own.size
