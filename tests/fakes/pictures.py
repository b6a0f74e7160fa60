"""Real images of all kinds, drawn with Pillow: for the tests of variants.py."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import partial
from typing import Any, Callable

from PIL import Image, ImageChops, ImageCms, ImageOps, ImageStat

ORIENTATION = 0x0112
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "AVIF")


def photo(width: int = 640, height: int = 480, mode: str = "RGB") -> Image.Image:
    """Return an image with a gradient and a corner of its own color, so that a turned one is another one."""
    red = Image.linear_gradient("L").resize((width, height))
    green = Image.linear_gradient("L").rotate(90).resize((width, height))
    blue = Image.radial_gradient("L").resize((width, height))
    image = Image.merge("RGB", (red, green, blue))
    image.paste((250, 20, 20), (0, 0, width // 4, height // 8))
    if mode in ("RGBA", "LA"):
        image.putalpha(red)
    return image.convert(mode)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Return an image as a file of a format that Pillow writes."""
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


def turned(image: Image.Image, orientation: int, kind: str = "JPEG", **options: Any) -> bytes:
    """Return a file whose EXIF says how it is to be turned."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    exif[0x010F] = "a camera"
    return encoded(image, kind, exif=exif, **options)


def srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def sixteen_bits(width: int = 640, height: int = 480) -> bytes:
    """Return a grey PNG of 16 bits."""
    values = bytes(
        byte for y in range(height) for x in range(width) for byte in divmod((x * 65535 // width), 256)[::-1]
    )
    return encoded(Image.frombytes("I;16", (width, height), values), "PNG")


def _palette() -> Image.Image:
    return photo().quantize(16)


def _clear() -> Image.Image:
    clear = _palette()
    clear.info["transparency"] = 3
    return clear


def _turned_photo(orientation: int, kind: str = "JPEG", **options: Any) -> bytes:
    return turned(photo(), orientation, kind, **options)


def _makers() -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Yield what makes each file, by what is special about it."""
    yield from {
        "jpeg": lambda: encoded(photo(), "JPEG"),
        "jpeg progressive": lambda: encoded(photo(), "JPEG", progressive=True),
        "jpeg portrait": lambda: encoded(photo(333, 777), "JPEG"),
        "jpeg grey": lambda: encoded(photo(mode="L"), "JPEG"),
        "jpeg cmyk": lambda: encoded(photo(mode="CMYK"), "JPEG"),
        "jpeg profile": lambda: encoded(photo(), "JPEG", icc_profile=srgb_profile()),
        "jpeg damaged profile": lambda: encoded(photo(), "JPEG", icc_profile=b"no profile"),
        "jpeg large": lambda: encoded(photo(2400, 1601), "JPEG"),
        "png": lambda: encoded(photo(), "PNG"),
        "png alpha": lambda: encoded(photo(mode="RGBA"), "PNG"),
        "png grey alpha": lambda: encoded(photo(mode="LA"), "PNG"),
        "png grey": lambda: encoded(photo(mode="L"), "PNG"),
        "png one bit": lambda: encoded(photo(mode="1"), "PNG"),
        "png palette": lambda: encoded(_palette(), "PNG"),
        "png palette alpha": lambda: encoded(_clear(), "PNG", transparency=3),
        "png color key": lambda: encoded(photo(), "PNG", transparency=(250, 20, 20)),
        "png interlaced 16 bits": sixteen_bits,
        "gif": lambda: encoded(_palette(), "GIF"),
        "gif animated": lambda: encoded(
            _palette(), "GIF", save_all=True, append_images=[photo().rotate(180).quantize(16)]
        ),
        "gif alpha": lambda: encoded(_clear(), "GIF", transparency=3),
        "webp": lambda: encoded(photo(), "WEBP"),
        "webp lossless alpha": lambda: encoded(photo(mode="RGBA"), "WEBP", lossless=True),
        "webp animated": lambda: encoded(
            photo(), "WEBP", save_all=True, append_images=[photo().rotate(180)], lossless=True
        ),
        "avif": lambda: encoded(photo(), "AVIF", speed=10),
        "avif alpha": lambda: encoded(photo(mode="RGBA"), "AVIF", speed=10),
        "line": lambda: encoded(photo(1000, 3), "PNG"),
    }.items()
    for orientation in range(1, 9):
        yield f"jpeg orientation {orientation}", partial(_turned_photo, orientation)
    for kind in ("PNG", "WEBP"):
        yield f"{kind.lower()} orientation 6", partial(_turned_photo, 6, kind)
    yield "avif orientation 8", partial(_turned_photo, 8, "AVIF", speed=10)


MAKERS = dict(_makers())


def kinds() -> dict[str, bytes]:
    """Return some dozens of files, by what is special about them."""
    return {kind: make() for kind, make in MAKERS.items()}


# --- what Pillow makes of them


def pillows_own(body: bytes, longest: int) -> Image.Image:
    """Return what Pillow makes of body in the plainest way: turned upright, in RGB, as thumbnail() scales it."""
    with Image.open(io.BytesIO(body), formats=_FORMATS) as image:
        upright = ImageOps.exif_transpose(image)
        if upright.mode == "I;16":
            upright = upright.convert("I").point(lambda value: value * (1 / 256)).convert("L")
        plain = upright.convert("RGBA" if upright.has_transparency_data else "RGB")
    plain.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    return plain


def shown(body: bytes) -> Image.Image:
    with Image.open(io.BytesIO(body)) as image:
        assert image.format == "WEBP"
        assert {"exif", "icc_profile", "xmp"}.isdisjoint(image.info)
        assert not getattr(image, "is_animated", False)
        return image.convert("RGBA")


def difference(one: Image.Image, other: Image.Image) -> float:
    """Return the mean difference of two images on a black and a white ground, 0 to 255."""
    means = []
    for ground in ("black", "white"):
        flat = [Image.new("RGBA", image.size, ground) for image in (one, other)]
        for below, image in zip(flat, (one, other)):
            below.alpha_composite(image.convert("RGBA"))
        delta = ImageChops.difference(flat[0].convert("RGB"), flat[1].convert("RGB"))
        means.append(max(ImageStat.Stat(delta).mean))
    return max(means)
