"""Real images of all kinds, drawn with Pillow: for the tests of variants.py."""

from __future__ import annotations

import io
from typing import Any

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


def kinds() -> dict[str, bytes]:
    """Return some dozens of files, by what is special about them."""
    cmyk, palette = photo(mode="CMYK"), photo().quantize(16)
    clear = photo().quantize(16)
    clear.info["transparency"] = 3
    files = {
        "jpeg": encoded(photo(), "JPEG"),
        "jpeg progressive": encoded(photo(), "JPEG", progressive=True),
        "jpeg portrait": encoded(photo(333, 777), "JPEG"),
        "jpeg grey": encoded(photo(mode="L"), "JPEG"),
        "jpeg cmyk": encoded(cmyk, "JPEG"),
        "jpeg profile": encoded(photo(), "JPEG", icc_profile=srgb_profile()),
        "jpeg damaged profile": encoded(photo(), "JPEG", icc_profile=b"no profile"),
        "jpeg large": encoded(photo(2400, 1601), "JPEG"),
        "png": encoded(photo(), "PNG"),
        "png alpha": encoded(photo(mode="RGBA"), "PNG"),
        "png grey alpha": encoded(photo(mode="LA"), "PNG"),
        "png grey": encoded(photo(mode="L"), "PNG"),
        "png one bit": encoded(photo(mode="1"), "PNG"),
        "png palette": encoded(palette, "PNG"),
        "png palette alpha": encoded(clear, "PNG", transparency=3),
        "png color key": encoded(photo(), "PNG", transparency=(250, 20, 20)),
        "png interlaced 16 bits": sixteen_bits(),
        "gif": encoded(palette, "GIF"),
        "gif animated": encoded(
            palette, "GIF", save_all=True, append_images=[photo().rotate(180).quantize(16)]
        ),
        "gif alpha": encoded(clear, "GIF", transparency=3),
        "webp": encoded(photo(), "WEBP"),
        "webp lossless alpha": encoded(photo(mode="RGBA"), "WEBP", lossless=True),
        "webp animated": encoded(
            photo(), "WEBP", save_all=True, append_images=[photo().rotate(180)], lossless=True
        ),
        "avif": encoded(photo(), "AVIF", speed=10),
        "avif alpha": encoded(photo(mode="RGBA"), "AVIF", speed=10),
        "line": encoded(photo(1000, 3), "PNG"),
    }
    for orientation in range(1, 9):
        files[f"jpeg orientation {orientation}"] = turned(photo(), orientation)
    for kind in ("PNG", "WEBP"):
        files[f"{kind.lower()} orientation 6"] = turned(photo(), 6, kind)
    files["avif orientation 8"] = turned(photo(), 8, "AVIF", speed=10)
    return files


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
