"""What makes many clients and TLS contexts in one process cheap: their data is read once, or is short."""

from __future__ import annotations

import atexit
import functools
import tempfile
from pathlib import Path

import botocore.session
import certifi

_FEW = 3  # of the public authorities, of which there are 140: reading those costs 23 ms a context
_END = "-----END CERTIFICATE-----\n"


def share_botocore_data() -> None:
    """Let all sessions of this process share what they have read of botocore's data (50 ms of CPU a client)."""
    botocore.session.create_loader = functools.cache(botocore.session.create_loader)


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
