"""collect_urls.py with an API that is made up in the process: `python -m benchmarks.stubbed_collect URLS`.

Everything but the network is as in production: pages as JSON, paging, checks, checkpoints, files.
"""

from __future__ import annotations

import json
import sys
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests
from requests.adapters import BaseAdapter

import collect_urls
from benchmarks.four_million import path_of
from cdn2s3.settings.collection_settings import CollectionSettings

SETTINGS = {
    "API_BASE_URL": "https://api.example.com/lots",
    "API_RATE_LIMIT": "10000",
    "API_URLS_FIELD": "items[].[image_url, thumb_url][]",
    "URL_PREFIX": "https://images.example.com/",
}


class MadeUp(BaseAdapter):
    """Answer each page with as many items as asked for, two URLs an item, until there are enough."""

    def __init__(self, urls: int) -> None:
        super().__init__()
        self._items = urls // 2

    def send(self, request: requests.PreparedRequest, *unused: Any, **options: Any) -> requests.Response:
        query = parse_qs(urlsplit(str(request.url)).query)
        page, size = int(query["page"][0]), int(query["per_page"][0])
        numbers = range(max(page - 1, 0) * size, min(page * size, self._items))  # page 0 has nothing
        items = [{"id": n, "image_url": _url(2 * n), "thumb_url": _url(2 * n + 1)} for n in numbers]
        answer = requests.Response()
        answer.status_code = 200
        answer._content = json.dumps({"items": items}).encode()
        answer.url = str(request.url)
        return answer

    def close(self) -> None:
        """Do nothing: there is no connection."""


def _url(number: int) -> str:
    return SETTINGS["URL_PREFIX"] + path_of(number)


def main() -> int:
    made_up, api_session = MadeUp(int(sys.argv[1])), collect_urls.api_session

    def stubbed(settings: CollectionSettings) -> requests.Session:
        session = api_session(settings)
        session.mount("https://", made_up)
        return session

    collect_urls.api_session = stubbed
    return collect_urls.main([])


if __name__ == "__main__":
    sys.exit(main())
