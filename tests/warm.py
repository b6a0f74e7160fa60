"""What makes many clients and TLS contexts in one process cheap: their data is read once, or is short."""

from __future__ import annotations

import atexit
import functools
import inspect
import tempfile
from pathlib import Path

import botocore.hooks
import botocore.session
import certifi
from botocore.hooks import EVENT_ALIASES, EventAliaser

_FEW = 3  # of the public authorities, of which there are 140: reading those costs 23 ms a context
_END = "-----END CERTIFICATE-----\n"


def share_botocore_data() -> None:
    """Let all sessions of this process share what they have read and worked out of botocore's data.

    That is 50 ms of CPU a client for its models, and another 10 for its handlers: each session spells the same 150
    events anew, and inspects the same functions.
    """
    botocore.session.create_loader = functools.cache(botocore.session.create_loader)
    spelled: dict[str, str] = {}
    make, inspected = EventAliaser.__init__, botocore.hooks.accepts_kwargs

    def make_sharing(self: EventAliaser, emitter: object, aliases: dict[str, str] | None = None) -> None:
        make(self, emitter, aliases)
        if self._event_aliases == EVENT_ALIASES:
            self._alias_name_cache = spelled

    def accepts_kwargs(handler: object) -> object:
        code = getattr(getattr(handler, "__func__", handler), "__code__", None)
        return inspected(handler) if code is None else code.co_flags & inspect.CO_VARKEYWORDS

    EventAliaser.__init__ = make_sharing
    botocore.hooks.accepts_kwargs = accepts_kwargs


@functools.cache
def few_authorities() -> str:
    """Return the path of a PEM file with the first few of certifi's authorities; it goes with this process."""
    authorities = Path(certifi.where()).read_text("ascii", "ignore").split(_END)[:_FEW]
    folder = tempfile.TemporaryDirectory(prefix="few-authorities-")
    atexit.register(folder.cleanup)
    bundle = Path(folder.name, "bundle.pem")
    bundle.write_text("".join(text + _END for text in authorities), "ascii")
    return str(bundle)


def trust(bundle: str) -> None:
    """Let certifi name bundle, a PEM file."""
    certifi.where = lambda: bundle
