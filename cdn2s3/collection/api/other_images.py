"""Items that have an image, but not where API_URLS_FIELD looks: an API may keep it elsewhere in some items. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

from cdn2s3.url_text import IMAGE_ENDINGS

_IMAGE = re.compile(rf"\.(?:{IMAGE_ENDINGS})$", re.IGNORECASE)
_MOST = 2000  # values of an item that are looked at


def elsewhere(items: Iterable[Any], taken: Iterable[str]) -> Iterator[str]:
    """Yield the first image of each item that has some, and none of those taken: `gallery.url: https://…/1.jpg`.

    An item that gave a URL is known by it.
    """
    known = set(taken)
    for item in items:
        if not isinstance(item, (dict, list)):
            continue
        texts = list(_texts(item))
        if any(text in known for _, text in texts):
            continue
        image = next((f"{path}: {text}" for path, text in texts if _is_image(text)), "")
        if image:
            yield image


def _texts(item: Any) -> Iterator[tuple[str, str]]:
    """Yield each text in an item with its path, in the order of the item."""
    waiting: list[tuple[str, Any]] = [("", item)]
    for _ in range(_MOST):
        if not waiting:
            return
        path, value = waiting.pop()
        if isinstance(value, str):
            yield path, value
        elif isinstance(value, dict):
            waiting += [
                (f"{path}.{name}".lstrip("."), inner) for name, inner in reversed(list(value.items()))
            ]
        elif isinstance(value, list):
            waiting += [(f"{path}[]", inner) for inner in reversed(value)]


def _is_image(text: str) -> bool:
    if not text.startswith(("https://", "http://")):
        return False
    try:
        return bool(_IMAGE.search(urlsplit(text).path))
    except ValueError:
        return False
