"""The quick benchmark's server with a long listing: `python -m benchmarks.scale_server OBJECTS [MS [whole]]`.

GET /BUCKET?list-type=2…     OBJECTS objects in pages of 1,000, each after MS milliseconds; whole: no start-after
GET /times                   when first image and page were asked for, and when the last request came (JSON)
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from urllib.parse import parse_qs, urlsplit

from benchmarks.four_million import first_after, listing_page
from benchmarks.quick_server import Exchanges, serve

_PAGE = 1000
_OBJECTS = int(sys.argv[1])
_LATENCY = float(sys.argv[2]) / 1000 if len(sys.argv) > 2 else 0.0  # seconds
_IN_RANGES = "whole" not in sys.argv
_times = {"first_image": 0.0, "first_page": 0.0, "last_request": 0.0}  # seconds since the epoch


class ScaleExchanges(Exchanges):
    """One connection: requests one after the other."""

    def _answer(self) -> None:
        if self._path == "/times":
            self._say("200 OK", body=json.dumps(_times).encode())
            _times.update(dict.fromkeys(_times, 0.0))
            return
        _times["last_request"] = time.time()
        if self._path.startswith("/cdn/") and not _times["first_image"]:
            _times["first_image"] = time.time()
        query = parse_qs(urlsplit(self._path).query)
        if "list-type" in query:
            _times["first_page"] = _times["first_page"] or time.time()
            asyncio.get_running_loop().call_later(_LATENCY, self._list, query)
        else:
            super()._answer()

    def _list(self, query: dict[str, list[str]]) -> None:
        first = int(query.get("continuation-token", ["0"])[0])
        if "start-after" in query:
            if not _IN_RANGES:
                self._say("501 Not Implemented", body=b"<Error><Code>NotImplemented</Code></Error>")
                return
            first = first_after(query["start-after"][0], _OBJECTS)
        bucket = urlsplit(self._path).path.strip("/")
        self._say("200 OK", body=listing_page(bucket, first, _OBJECTS, _PAGE))


if __name__ == "__main__":
    asyncio.run(serve(ScaleExchanges))
