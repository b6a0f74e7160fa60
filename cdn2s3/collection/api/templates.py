"""The request for a page, made from API_BASE_URL, API_METHOD and API_BODY and their places. Pure.

Where a place has no value (the first page has no cursor), the whole member of the object or the whole parameter
that it would fill is left out; among the variables of a GraphQL query it is null.

Values are escaped for where they go: JSON, a query, a path, a form. In a body of plain text they stand as they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote, unquote_plus, urlsplit

from cdn2s3.collection.api.page_request import PageRequest
from cdn2s3.settings.collection_settings import CollectionSettings
from cdn2s3.settings.places import MARK, PLACE, is_form, is_json, json_with_places, names_in

Values = Mapping[str, Any]  # by the names of the places
_OMIT = object()


class RequestTemplate:
    """The request of which each page's is a copy with its own values."""

    def __init__(self, settings: CollectionSettings) -> None:
        self._url = urlsplit(settings.api_base_url or "")._replace(fragment="")
        self._method = settings.api_method
        self._limit = settings.results_per_page
        body = settings.api_body.reveal()
        self._form = body.strip() if is_form(body) and not is_json(body) else ""
        self._plain_text = "" if self._form or is_json(body) else body.strip()
        self._json = json_with_places(body) if is_json(body) else None
        self._places = names_in(self._url.geturl()) | names_in(body)
        self._size: Mapping[str, Any] = {}
        if settings.api_per_page_param and "limit" not in self._places and not names_in(body):
            self._size = {settings.api_per_page_param: self._limit}

    def plain(self) -> PageRequest:
        """Return the request without a page size or any other parameter."""
        return self._filled({"limit": self._limit}, {})

    @property
    def has_size(self) -> bool:
        """Whether the request says how many items a page may have."""
        return bool(self._size) or "limit" in self._places

    def sized(
        self, name: str = "", value: Any = None, parameters: Values | None = None, limit: int = 0
    ) -> PageRequest:
        """Return the request with value in the places called name; without such a place, with parameters.

        limit is a page size of its own; 0: RESULTS_PER_PAGE.
        """
        more = {} if name in self._places else parameters or {}
        limit = limit or self._limit
        return self._filled({name: value, "limit": limit}, {**dict.fromkeys(self._size, limit), **more})

    def at(self, url: str) -> PageRequest:
        """Return the request at another URL, which is complete."""
        return self._request(url, {"limit": self._limit})

    def _filled(self, values: Values, parameters: Values) -> PageRequest:
        path = PLACE.sub(lambda found: quote(_text(_value(found, values)), safe=""), self._url.path)
        query = with_parameters(_pairs(self._url.query, values), parameters)
        return self._request(self._url._replace(path=path, query=query).geturl(), values)

    def _request(self, url: str, values: Values) -> PageRequest:
        if self._json is not None:
            filled = _json(self._json, values)
            return PageRequest(url, _compact(filled).encode(), self._method, "application/json")
        if self._form:
            form = _pairs(self._form, values).encode()
            return PageRequest(url, form, self._method, "application/x-www-form-urlencoded")
        if self._plain_text:
            filled = PLACE.sub(lambda found: _text(_value(found, values)), self._plain_text)
            return PageRequest(url, filled.encode(), self._method, "text/plain; charset=utf-8")
        return PageRequest(url, None, self._method)


def with_parameters(query: str, parameters: Values) -> str:
    """Return query with parameters, in place of its own ones of the same names."""
    pairs = [pair for pair in query.split("&") if pair and _name_in(pair) not in parameters]
    pairs += [
        f"{quote(name, safe='[]$')}={quote(_text(value), safe='')}" for name, value in parameters.items()
    ]
    return "&".join(pairs)


def _name_in(pair: str) -> str:
    return unquote_plus(pair.partition("=")[0])


def _pairs(query: str, values: Values) -> str:
    """Return the parameters of a query or a form with their places filled."""
    filled = (_pair(pair, values) if PLACE.search(pair) else pair for pair in query.split("&"))
    return "&".join(pair for pair in filled if pair is not None)


def _pair(pair: str, values: Values) -> str | None:
    """Return a parameter with its places filled; None where it is a place without a value."""
    name, _, text = pair.partition("=")
    whole = PLACE.fullmatch(text)
    if whole:
        value = _value(whole, values)
        return None if value is None else f"{name}={quote(_text(value), safe='')}"
    decoded = unquote(text)
    if is_json(decoded) or decoded.startswith('"'):
        try:
            filled = _json(json_with_places(decoded), values, name == "variables")
            return f"{name}={quote(_compact(filled), safe='')}"
        except ValueError:
            pass  # text that only looks like JSON
    return f"{name}=" + PLACE.sub(lambda found: quote(_text(_value(found, values)), safe=""), text)


def _json(node: Any, values: Values, keep: bool = False) -> Any:
    """Return JSON with its places filled; what a place without a value stands for is left out, or null (keep)."""
    filled = _filled_node(node, values, keep)
    return "" if filled is _OMIT else filled


def _filled_node(node: Any, values: Values, keep: bool) -> Any:
    if isinstance(node, dict):
        is_graphql = isinstance(node.get("query"), str)
        members = (
            (name, _filled_node(value, values, keep or (is_graphql and name == "variables")))
            for name, value in node.items()
        )
        return {name: value for name, value in members if value is not _OMIT}
    if isinstance(node, list):
        filled = (_filled_node(value, values, keep) for value in node)
        return [value for value in filled if value is not _OMIT]
    if not isinstance(node, str):
        return node
    whole = PLACE.fullmatch(node.lstrip(MARK))
    value = _value(whole, values) if whole else None
    if whole and value is None:
        return None if keep else _OMIT
    if node.startswith(MARK):
        return value
    return PLACE.sub(lambda found: _text(_value(found, values)), node)


def _value(place: re.Match[str], values: Values) -> Any:
    """Return the value for a place, None where it has none."""
    value = values.get(place[1])
    if place[2] is None:
        return value
    return value.get(place[2]) if isinstance(value, dict) else None


def _text(value: Any) -> str:
    """Return a value as text: a string as it is, nothing for null, JSON for any other."""
    if value is None:
        return ""
    return value if isinstance(value, str) else _compact(value)


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
