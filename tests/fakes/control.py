"""Steering a server that runs in another process: a JSON endpoint on a port of its own, and its client.

The endpoint answers POST /_control/COMMAND, whatever the other port is made to do (refuse, black hole).
"""

from __future__ import annotations

import contextlib
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, Callable

from tests.fakes.rules import Rule, RuleBook
from tests.fakes.wire import BadRequestError, Connection, Listener, Request, response

Command = Callable[..., Any]
PATH = "/_control/"


class ControlEndpoint:
    """Serves commands by name; the JSON object posted becomes the command's keyword arguments."""

    def __init__(self, commands: Mapping[str, Command]) -> None:
        self._commands = commands
        self._listener = Listener(self._serve)

    @property
    def url(self) -> str:
        """What Control takes."""
        return f"http://127.0.0.1:{self._listener.port}{PATH}"

    def close(self) -> None:
        """Stop."""
        self._listener.stop()

    def _serve(self, connection: Connection) -> None:
        with contextlib.suppress(BadRequestError):
            request = connection.read_request()
            if request is not None:
                body = connection.read(int(request.headers.get("content-length", "0")))
                status, answer = self._run(request, body)
                headers = [("Content-Type", "application/json"), ("Connection", "close")]
                connection.send(response(status, headers, json.dumps(answer).encode()))

    def _run(self, request: Request, body: bytes) -> tuple[int, Any]:
        command = self._commands.get(request.path[len(PATH) :])
        if command is None:
            return 404, {"error": f"no such command; known: {', '.join(sorted(self._commands))}"}
        try:
            return 200, command(**json.loads(body or b"{}"))
        except Exception as exc:  # the caller is another process: it gets the message, this one goes on
            return 400, {"error": f"{type(exc).__name__}: {exc}"}


class ControlError(Exception):
    """A command was refused; the message is the server's."""


class Control:
    """The client's side. Safe for many threads: a connection per call."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open

    def call(self, command: str, **arguments: Any) -> Any:
        """Run a command of the server and return what it returned. Raises ControlError."""
        request = urllib.request.Request(self._url + command, json.dumps(arguments).encode(), method="POST")
        try:
            with self._open(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as exc:
            with exc:
                raise ControlError(json.load(exc)["error"]) from None

    def add_rule(self, fault: str, **fields: Any) -> None:
        """Put a fault in force; the fields are those of rules.Rule."""
        self.call("add_rule", fault=fault, **fields)


def rule_commands(rules: RuleBook) -> dict[str, Command]:
    """Return the commands for fault rules: add_rule, remove_rules, clear_rules, rules, struck."""

    def add_rule(**fields: Any) -> None:
        rules.add(Rule(**fields))

    return {
        "add_rule": add_rule,
        "remove_rules": rules.remove,
        "clear_rules": rules.clear,
        "rules": rules.listed,
        "struck": lambda: dict(rules.struck),
    }


def network_commands(network: Listener) -> dict[str, Command]:
    """Return the commands for the network; those that break it take `seconds` or last until `heal`."""
    return {
        "refuse": network.refuse,
        "black_hole": network.black_hole,
        "mute_handshakes": network.mute_handshakes,
        "heal": network.heal,
        "drop_connections": network.drop_connections,
        "network": lambda: {
            "connections": network.connections,
            "broken_handshakes": network.broken_handshakes,
        },
    }
