"""The quick benchmark's server with a long listing: `python -m benchmarks.scale_server OBJECTS`.

GET /BUCKET?list-type=2…     OBJECTS objects in pages of 1,000
GET /times                   when the first image was asked for, and when the last request came (JSON)
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from urllib.parse import parse_qs, urlsplit

from benchmarks.four_million import listing_page
from benchmarks.quick_server import Exchanges, serve

_PAGE = 1000
_OBJECTS = int(sys.argv[1])
_times = {"first_image": 0.0, "last_request": 0.0}  # seconds since the epoch


class ScaleExchanges(Exchanges):
    """One connection: requests one after the other."""

    def _answer(self) -> None:
        if self._path == "/times":
            self._say("200 OK", body=json.dumps(_times).encode())
            _times.update(first_image=0.0, last_request=0.0)
            return
        _times["last_request"] = time.time()
        if self._path.startswith("/cdn/") and not _times["first_image"]:
            _times["first_image"] = time.time()
        query = parse_qs(urlsplit(self._path).query)
        if "list-type" in query:
            first = int(query.get("continuation-token", ["0"])[0])
            bucket = urlsplit(self._path).path.strip("/")
            self._say("200 OK", body=listing_page(bucket, first, _OBJECTS, _PAGE))
        else:
            super()._answer()


if __name__ == "__main__":
    asyncio.run(serve(ScaleExchanges))
