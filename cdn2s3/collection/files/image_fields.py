"""Which fields of an export hold images, where URL_COLUMNS does not say: by the field's name and the URL. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from cdn2s3.url_text import IMAGE_ENDINGS

_IMAGE = re.compile(rf"\.(?:{IMAGE_ENDINGS})(?![a-z0-9])", re.IGNORECASE)
_OTHER = re.compile(
    r"\.(?:html?|php|aspx?|jsp|pdf|mp[34]|m4[av]|mov|webm|avi|ogg|og[gv]|wav|flac|glb|gltf|usdz|obj|stl|zip|gz|tgz|rar|7z|"
    r"json|xml|rss|txt|csv|tsv|js|mjs|css|docx?|xlsx?|pptx?|epub|woff2?|ttf|otf|eot|exe|dmg|apk|m3u8|mpd|vtt|srt)(?![a-z0-9])",
    re.IGNORECASE,
)
# A page about a file, as MediaWiki names it: …/wiki/File:Name.jpg
_FILE_PAGE = re.compile(r"/wiki/[^/?#]+:[^/?#]+$|[?&]title=[^&#]+:", re.IGNORECASE)
_IMAGE_PLACE = re.compile(
    r"(?:^|[/._-])(?:images?|imgs?|photos?|pictures?|thumb(?:nail)?s?|iiif|imagecache|imageserver)(?:[/._-]|\d*\.|$)",
    re.IGNORECASE,
)

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_]+|\d+")
_NAMES_IMAGES = frozenset(
    """
    image images img imgs photo photos photograph picture pictures pic pics thumb thumbs thumbnail thumbnails
    gallery poster posters cover covers avatar avatars logo logos icon icons banner banners portrait portraits
    screenshot screenshots artwork favicon enclosure imageurl imageurls imgurl imagelink imagesrc photourl
    photourls picurl pictureurl galleryurl thumburl thumbnailurl logourl primaryimage primaryimageurl
    additionalimages additionalimage imagen imagenes foto fotos bild bilder bildurl immagine immagini afbeelding
    afbeeldingen imagem imagens obraz obrazek zdjecie zdjecia kuva kuvat billede billeder bilde kep slika resim
    gorsel foto1 srcset
    """.split()  # noqa: SIM905  # a table of words
)
_SUBSTRING = re.compile("image|photo(?!graph)|thumb|picture", re.IGNORECASE)
_NAMES_OTHER = frozenset(
    """
    page pages license licence rights author authors photographer artist creator credit credits credited user
    profile html website homepage manifest info api video videos audio filter alt title caption attribution
    download_page permalink referrer origin_page landing terms
    """.split()  # noqa: SIM905  # a table of words
)
# Says nothing by itself: what it is under decides.
_NEUTRAL = frozenset(
    """
    url urls uri src source href file path value values original orig large medium small full raw regular big
    mini tiny preview high low max default main standard secure http https ssl data id content contenturl
    location loc item items list array set sizes size x w px cdn asset assets attachment
    """.split()  # noqa: SIM905  # a table of words
)


def is_image_url(url: str) -> bool:
    """Return whether url names an image by an ending anywhere in its path or query."""
    rest = url.partition("://")[2].partition("/")[2] if "://" in url else url
    path = rest.partition("#")[0]
    return bool(_IMAGE.search(path)) and not _FILE_PAGE.search(path)


def is_other_file(url: str) -> bool:
    """Return whether url names a file of another kind than an image, or a page."""
    rest = url.partition("://")[2].partition("/")[2].partition("#")[0]
    return bool(_OTHER.search(rest.partition("?")[0]) or _FILE_PAGE.search(rest))


def is_in_an_image_place(url: str) -> bool:
    """Return whether url's host or folders speak of images: img.example, /photos/."""
    return bool(_IMAGE_PLACE.search(url.partition("://")[2].partition("?")[0].rpartition("/")[0]))


@lru_cache(maxsize=4096)
def names_images(path: tuple[str, ...]) -> bool:
    """Return whether the name of a field speaks of images: `Image Src`, `g:image_link`, `images` over `src`.

    path is the field's name, after the names that it is under.
    """
    for name in reversed(path[-3:]):
        words = [word.lower() for word in _WORDS.findall(name)]
        if not _NAMES_OTHER.isdisjoint(words):
            return False
        if not _NAMES_IMAGES.isdisjoint(words) or _SUBSTRING.search(name):
            return True
        if not all(word in _NEUTRAL or word.isdigit() or len(word) == 1 for word in words):
            return False
    return False


def column_of_images(
    names: Sequence[str], with_urls: Sequence[int], with_images: Sequence[int]
) -> int | None:
    """Return the one column that holds the URLs although nothing in it looks like an image; None if that is unclear.

    with_urls are the columns that hold URLs in the head of a file (none where those are not
    expected there), with_images those in which some look like images.
    """
    if with_images or len(with_urls) != 1:
        return None
    words = [word.lower() for word in _WORDS.findall(names[with_urls[0]])]
    return with_urls[0] if all(word in _NEUTRAL or word.isdigit() for word in words) else None
