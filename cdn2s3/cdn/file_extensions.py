"""File extensions: whether a name fits the image that has it. Pure."""

from __future__ import annotations

_HEIF = frozenset({"image/heic", "image/heif", "image/heic-sequence", "image/heif-sequence"})
_JPEG_2000 = frozenset({"image/jp2", "image/jpx", "image/jpm", "image/jph", "image/j2c"})
_TYPES = {
    **dict.fromkeys(("jpg", "jpeg", "jpe", "jfif"), frozenset({"image/jpeg"})),
    **dict.fromkeys(("png", "apng"), frozenset({"image/png"})),
    **dict.fromkeys(("tif", "tiff"), frozenset({"image/tiff"})),
    **dict.fromkeys(("bmp", "dib"), frozenset({"image/bmp"})),
    **dict.fromkeys(("heic", "heif", "hif"), _HEIF),
    **dict.fromkeys(("jp2", "jpx", "jpf", "jpm", "j2k", "j2c", "jpc"), _JPEG_2000),
    **dict.fromkeys(("psd", "psb"), frozenset({"image/vnd.adobe.photoshop"})),
    **dict.fromkeys(("jxr", "wdp", "hdp"), frozenset({"image/jxr"})),
    "gif": frozenset({"image/gif"}),
    "webp": frozenset({"image/webp"}),
    "avif": frozenset({"image/avif"}),
    "svg": frozenset({"image/svg+xml"}),
    "ico": frozenset({"image/x-icon"}),
    "cur": frozenset({"image/x-win-bitmap"}),
    "jxl": frozenset({"image/jxl"}),
}


def misfit(name: str, media_type: str) -> str:
    """Return the extension of name, in lower case, if it is that of another type of image than media_type; else ""."""
    extension = name[name.rfind(".") + 1 :].lower() if "." in name else ""
    fitting = _TYPES.get(extension)
    return extension if fitting is not None and media_type not in fitting else ""
