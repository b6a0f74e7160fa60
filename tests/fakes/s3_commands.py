"""What the control endpoint of the S3 server can be asked."""

from __future__ import annotations

import base64
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tests.fakes.control import Command, network_commands, rule_commands
from tests.fakes.store import StoredObject

if TYPE_CHECKING:
    from tests.fakes.s3 import S3Server


def commands(server: S3Server) -> dict[str, Command]:
    """Return the commands by name: those of the rules, those of the network, and what S3 alone has."""

    def objects(bucket: str, prefix: str = "") -> list[dict[str, Any]]:
        """Return all objects in key order, without their bytes."""
        held = server.objects(bucket)
        return [_record(held[key]) for key in sorted(held) if key.startswith(prefix)]

    def body(bucket: str, key: str) -> str:
        """Return the bytes of an object in base64."""
        return base64.b64encode(server.objects(bucket)[key].read()).decode()

    def put(bucket: str, key: str, body64: str, headers: dict[str, str]) -> dict[str, Any]:
        """Store an object behind the back of policy and log."""
        return _record(server.put(bucket, key, base64.b64decode(body64), **headers))

    def log(operation: str = "", last: int = 1000) -> list[dict[str, Any]]:
        """Return the newest requests, oldest first."""
        entries = [entry for entry in list(server.log) if operation in ("", entry.operation)]
        return [entry._asdict() for entry in entries[-last:]]

    def writes(bucket: str) -> dict[str, int]:
        """Return how often bytes were stored under each key."""
        return {key: count for (home, key), count in list(server.store.writes.items()) if home == bucket}

    def uploads(bucket: str) -> list[dict[str, Any]]:
        """Return the multipart uploads that are neither completed nor aborted."""
        found = server.store.uploads(bucket)
        return [{"key": u.key, "id": u.id, "initiated": u.initiated, "parts": len(u.parts)} for u in found]

    return {
        **rule_commands(server.rules),
        **network_commands(server.network),
        "add_bucket": server.add_bucket,
        "body": body,
        "change": server.change,
        "counters": lambda: dict(server.counters),
        "delete": server.store.delete,
        "log": log,
        "objects": objects,
        "put": put,
        "settings": lambda: _plain(asdict(server.settings)),
        "uploads": uploads,
        "writes": writes,
    }


def _record(item: StoredObject) -> dict[str, Any]:
    return {
        "key": item.key,
        "size": item.size,
        "md5": item.md5,
        "etag": item.etag,
        "headers": item.headers,
        "modified": item.modified,
    }


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    """Turn what JSON has no form for into lists."""
    allow = settings["allow"]
    return {**settings, "allow": None if allow is None else sorted(allow)}
