"""The samples in docs/api-integration.md work with the settings beside them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cdn2s3.collection.api.page_request import ApiResponse
from cdn2s3.collection.api.pagination import Paging
from cdn2s3.settings.collection_settings import CollectionSettings
from cdn2s3.settings.loading import build
from tests import ROOT

DOCUMENT = (ROOT / "docs" / "api-integration.md").read_text(encoding="utf-8")
FIRST = "https://api.example.com/v1/images"
NEXT = [  # the query of the second page, as each section's text says it
    ("page", "per_page=100&page=2"),
    ("offset", "limit=100&offset=1"),
    ("cursor", "limit=100&cursor=eyJpZCI6MTc4fQ"),
    ("next_url", "limit=100&after=178"),
    ("link_header", "after=178"),
]


@pytest.mark.parametrize(("style", "query"), NEXT, ids=[style for style, _ in NEXT])
def test_sample_with_its_settings_gives_urls_and_the_next_page(style: str, query: str) -> None:
    section = re.split(r"\n##+ ", DOCUMENT.split(f"\n### {style}\n")[1])[0]
    file = dict(re.findall(r"^    ([A-Z_]+)=(.*)$", section, re.MULTILINE))
    sample = re.search(r"```json\n(.*?)```", section, re.DOTALL)
    link = re.search(r"^    Link: (.*)$", section, re.MULTILINE)
    assert sample
    assert file["API_PAGINATION"] == style

    paging = Paging(build(CollectionSettings, {**file, "API_BASE_URL": FIRST}, {}, Path("collection.env")))
    first = paging.first()
    reply = ApiResponse(paging.request(first).url, json.loads(sample[1]), {"link": link[1]} if link else {})
    batch = paging.read(reply, first)

    assert [url for url in batch.urls if str(url).endswith(".jpg")] == batch.urls != []
    assert batch.following is not None
    assert paging.request(batch.following).url == f"{FIRST}?{query}"
