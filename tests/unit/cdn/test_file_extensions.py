"""A name fits the image that has it, or its extension is named."""

from __future__ import annotations

import pytest

from cdn2s3.cdn.file_extensions import misfit
from cdn2s3.cdn.response_notes import COMPRESSED, VARIES, oddities


@pytest.mark.parametrize(
    ("name", "media_type", "extension"),
    [
        ("images/a.jpg", "image/jpeg", ""),
        ("images/a.JPEG", "image/jpeg", ""),
        ("images/a.jpg", "image/webp", "jpg"),
        ("images/a.JPG", "image/avif", "jpg"),
        ("images/a.png", "image/jpeg", "png"),
        ("images/a.heic", "image/heif", ""),
        ("images/a.jp2", "image/jpx", ""),
        ("images/favicon.ico", "image/png", "ico"),
        ("images/a.svg", "image/svg+xml", ""),
        ("images/a.php", "image/png", ""),
        ("images/a", "image/png", ""),
        ("images/v1.2/a", "image/png", ""),
        ("jpg", "image/png", ""),
        ("images/a.jpg", "text/html", "jpg"),
    ],
)
def test_misfit(name: str, media_type: str, extension: str) -> None:
    assert misfit(name, media_type) == extension


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({}, ()),
        ({"vary": "Accept-Encoding"}, ()),
        ({"vary": "Accept-Encoding, Accept"}, (VARIES,)),
        ({"vary": "ACCEPT"}, (VARIES,)),
        ({"vary": "*"}, ()),
        ({"content-encoding": "identity"}, ()),
        ({"content-encoding": "gzip", "vary": "Accept"}, (VARIES, COMPRESSED)),
    ],
)
def test_oddities(headers: dict[str, str], found: tuple[str, ...]) -> None:
    assert oddities(headers) == found
