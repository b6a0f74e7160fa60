"""The JSON in a response, in whatever charset it comes. Pure."""

from __future__ import annotations

import json

import requests
from requests.utils import get_encoding_from_headers


def json_of(answer: requests.Response) -> object:
    """Return the JSON in a response; raise ValueError or RecursionError when it is none.

    JSON is UTF-8 (RFC 8259, 8.1), or UTF-16 and -32 with their signs. Where it is none of them, it is in the charset
    that the response names: old servers send ISO-8859-1. Others name that and send UTF-8, so UTF-8 is tried first.
    """
    try:
        return json.loads(answer.content)
    except UnicodeDecodeError:
        charset = get_encoding_from_headers(answer.headers) or ""
        try:
            return json.loads(answer.content.decode(charset or "utf-8"))
        except LookupError:
            raise ValueError(f"the response names a charset that does not exist: {charset[:40]}") from None
