"""Write down what was planted in the world, for whoever compares it with what the tool found."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from demo.api import ERROR_AT, SHORT_PAGE_AT, THROTTLED_AT
from demo.world import (
    EDGE_LOCATION,
    ENCODED_NAMES,
    FAULTS,
    FOREIGN_URLS,
    LARGE,
    NEAREST_REGION,
    RAW_NAMES,
    Image,
    World,
)


def planted(world: World, cdn_url: str, destination_prefix: str, strip: str) -> dict[str, Any]:
    """Describe `world`, as the CDN at `cdn_url` (no slash at its end) serves it, in JSON's types.

    Keys are expected as with PRESERVE_PATH_STRUCTURE=true and the two settings given. `objects` holds every
    URL that must end in the bucket, with key, bytes, md5, sha256 and content_type.
    """
    lost = [image for image in world.images.values() if image.fault and image.fault.first is None]
    good = [image for image in world.images.values() if image not in lost]
    objects = {cdn_url + image.path: _object(world, image) for image in good}
    for url, expected in objects.items():
        path = unquote(urlsplit(url).path)[1:]
        expected["key"] = destination_prefix + (path[len(strip) :] if path.startswith(strip) else path)
    return {
        "cdn": cdn_url,
        "edge_location": EDGE_LOCATION,
        "region": NEAREST_REGION,
        "expected": {
            "items": len(world.lots),
            "urls_given": 2 * len(world.lots),
            "urls": len(world.images),
            "duplicates": 2 * len(world.repeated),
            "rejected": len(FOREIGN_URLS),
            "completed": len(good),
            "failed": len(lost),
            "verdict": "complete_except_known",
        },
        "api": {"error": 500, "throttled": 429, "short_page": SHORT_PAGE_AT, "at": [ERROR_AT, THROTTLED_AT]},
        "faults": {
            fault.name: {
                "shown": fault.shown,
                "cause": fault.cause,
                "heals": fault.first is not None,
                "urls": [cdn_url + image.path for image in world.images.values() if image.fault == fault],
            }
            for fault in FAULTS
        },
        "foreign": list(FOREIGN_URLS),
        "repeated": [cdn_url + path for lot in world.repeated for path in (lot.image, lot.thumb)],
        "names": _names(world, cdn_url, good),
        "objects": objects,
    }


def write_planted(path: Path, contents: dict[str, Any]) -> None:
    """Write what `planted` returned as JSON that a reader can look through."""
    path.write_text(json.dumps(contents, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _object(world: World, image: Image) -> dict[str, Any]:
    """Describe one image's true bytes."""
    body = world.body(image)
    return {
        "bytes": len(body),
        "md5": hashlib.md5(body).hexdigest(),
        "sha256": hashlib.sha256(body).hexdigest(),
        "content_type": world.content_type(image),
    }


def _names(world: World, cdn_url: str, images: list[Image]) -> dict[str, list[str]]:
    """List those of `images` that have a special name, size or label, by what is special about them."""
    by_name = Counter(image.path.rpartition("/")[2] for image in images)
    most = max(by_name, key=lambda name: by_name[name])

    def urls(chosen: list[Image]) -> list[str]:
        return [cdn_url + image.path for image in chosen]

    return {
        "same_name": urls([image for image in images if image.path.endswith("/" + most)]),
        "encoded": urls([image for image in images if image.path.rpartition("/")[2] in ENCODED_NAMES]),
        "raw": urls([image for image in images if image.path.rpartition("/")[2] in RAW_NAMES]),
        "over_10_mb": urls([image for image in images if image.picture == LARGE]),
        "mislabelled": urls([image for image in images if image.label != world.content_type(image)]),
    }
