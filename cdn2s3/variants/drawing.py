"""Drawing: an image's bytes become smaller images. Pure, and the only module that needs Pillow.

Pillow is strict on truncated bodies; its formats are limited to those named here (its handbook, "Security"). The size
is checked before anything is decoded. Orientation is applied, all metadata is dropped, colors become sRGB.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

from PIL import Image, ImageCms, UnidentifiedImageError
from PIL.Image import Resampling, Transpose

from cdn2s3.cdn.image_type import content_type
from cdn2s3.settings.variant_sizes import VariantSize, fitted
from cdn2s3.variants.drawn import NOT_AN_IMAGE, TOO_LARGE, UNDECODABLE, Drawn, Picture, Undrawable

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "AVIF")
QUALITY = 80
_GAP = 2.0  # times the size wanted: so large is decoded at least, as in Pillow's own thumbnail()
_ORIENTATION = 0x0112  # in EXIF
_UPRIGHT = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
_ON_ITS_SIDE = frozenset({5, 6, 7, 8})
_SPACES = {"L": "GRAY", "RGB": "RGB", "RGBA": "RGB", "CMYK": "CMYK"}  # of the profiles that fit each mode

Image.MAX_IMAGE_PIXELS = None  # MAX_PIXELS is checked here, without a warning before


def draw(body: bytes, sizes: Iterable[VariantSize], max_pixels: float) -> Drawn:
    """Return body in each of sizes as WebP, except those that it is smaller than; raise Undrawable.

    max_pixels is width times height, at most.
    """
    try:
        with Image.open(io.BytesIO(body), formats=_known()) as image:
            if image.width * image.height > max_pixels:
                raise Undrawable(
                    TOO_LARGE, f"{image.width} x {image.height} pixels are more than MAX_PIXELS allows"
                )
            return _drawn(image, sizes)
    except Undrawable:
        raise
    except UnidentifiedImageError:
        raise _unknown(body) from None
    except MemoryError as error:
        raise Undrawable(TOO_LARGE, "there is not enough memory to decode it") from error
    except Exception as error:  # a damaged file makes a decoder raise almost anything
        raise Undrawable(UNDECODABLE, f"{type(error).__name__}: {error}") from error


def _known() -> list[str]:
    """Return those of FORMATS that this Pillow has: a distribution may leave some out."""
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _unknown(body: bytes) -> Undrawable:
    """Return why Pillow finds none of the formats in body."""
    media_type = content_type(body)
    if media_type is None:
        return Undrawable(NOT_AN_IMAGE, "the object is not an image")
    if media_type == "image/svg+xml":
        return Undrawable(NOT_AN_IMAGE, "an SVG drawing has no pixels: browsers scale it themselves")
    if media_type.partition("/")[2].upper() in FORMATS:
        return Undrawable(UNDECODABLE, f"{media_type}, but damaged")
    return Undrawable(UNDECODABLE, f"{media_type} is none of {', '.join(FORMATS)}")


def _drawn(image: Image.Image, sizes: Iterable[VariantSize]) -> Drawn:
    profile = image.info.get("icc_profile")
    stored = image.size
    longest = max(stored)
    made = [size for size in sizes if size.pixels <= longest]
    if not made:
        image.load()  # whether it can be decoded is known of every original
        width, height = _upright_size(stored, _orientation(image))
        return Drawn(width, height, [])
    most = max(size.pixels for size in made)
    decoded = tuple(round(side * _GAP * most / longest) for side in stored)
    drafted: Any = image.draft(None, (decoded[0], decoded[1]))  # JPEG alone; smaller by powers of two
    image.load()
    orientation = _orientation(image)
    width, height = _upright_size(stored, orientation)
    box = drafted[1] if drafted else None
    plain = _plain(image)
    pictures = []
    for size in made:
        target = fitted(width, height, size.pixels)
        lying = target if orientation not in _ON_ITS_SIDE else (target[1], target[0])
        small: Image.Image = plain.resize(lying, Resampling.LANCZOS, box, _GAP)
        small = _in_srgb(small, profile)
        if orientation in _UPRIGHT:
            small = small.transpose(_UPRIGHT[orientation])
        pictures.append(Picture(size.name, small.width, small.height, _as_webp(small)))
    return Drawn(width, height, pictures)


def _orientation(image: Image.Image) -> int:
    """Return the orientation in the EXIF of a decoded image, 1 (upright) where there is none that can be read."""
    try:
        found = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001  # damaged metadata says nothing about the pixels
        return 1
    return found if isinstance(found, int) and found in _UPRIGHT else 1


def _upright_size(stored: tuple[int, int], orientation: int) -> tuple[int, int]:
    return (stored[1], stored[0]) if orientation in _ON_ITS_SIDE else stored


def _plain(image: Image.Image) -> Image.Image:
    """Return a decoded image in a mode that can be scaled: L, RGB, RGBA or CMYK."""
    if image.mode.startswith(("I", "F")):  # 16 bits: convert() would cut off what is over 255
        return image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image.copy() if image.mode in _SPACES else image.convert("RGB")


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Return an image in RGB, or RGBA, with the colors that its profile gives it; it is taken for sRGB without one."""
    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    colors = image.convert("RGB") if alpha else image
    converted = _by_profile(colors, profile) if profile else None
    upright = converted if converted is not None else colors.convert("RGB")
    if alpha:
        upright.putalpha(alpha)
    return upright


def _by_profile(image: Image.Image, profile: bytes) -> Image.Image | None:
    """Return image in sRGB by its profile; None where that is damaged, or for another mode."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() != _SPACES[image.mode]:
            return None
        target = ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, source, target, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return None


def _as_webp(image: Image.Image) -> bytes:
    image.info = {}  # save() would write what it finds there: profile, EXIF, XMP
    target = io.BytesIO()
    image.save(target, "WEBP", quality=QUALITY)
    return target.getvalue()
