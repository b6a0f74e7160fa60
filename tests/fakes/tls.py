"""A throw-away certificate authority for 127.0.0.1 and localhost."""

from __future__ import annotations

import ssl
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import trustme


class TlsMaterial(NamedTuple):
    """What a server and its clients need to trust each other."""

    ca_bundle: Path  # PEM file for CA_BUNDLE, REQUESTS_CA_BUNDLE or verify=
    certificate: Path  # PEM file of the server: private key and certificate chain
    context: ssl.SSLContext  # server side, made from `certificate`


def make_tls(folder: Path) -> TlsMaterial:
    """Write a new CA and a server certificate for 127.0.0.1 and localhost into `folder`."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1", "localhost")
    ca_bundle, certificate = folder / "ca.pem", folder / "server.pem"
    authority.cert_pem.write_to_path(str(ca_bundle))
    issued.private_key_and_cert_chain_pem.write_to_path(str(certificate))
    return TlsMaterial(ca_bundle, certificate, server_context(certificate))


def server_context(certificate: Path) -> ssl.SSLContext:
    """Load a server-side context from a PEM file that holds the key and the chain."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def bad_certificate(path: Path, what: str, authority: trustme.CA) -> Path:
    """Write a server's key and chain for 127.0.0.1 to path, and return it; what is wrong is one of:

    expired, early, host (another's), stranger (of another authority), chain (without the one in between), self.
    """
    today = datetime.now()
    if what == "expired":
        issued = authority.issue_cert(
            "127.0.0.1", not_before=today - timedelta(9), not_after=today - timedelta(2)
        )
    elif what == "early":
        issued = authority.issue_cert(
            "127.0.0.1", not_before=today + timedelta(2), not_after=today + timedelta(9)
        )
    elif what == "host":
        issued = authority.issue_cert("cdn.other.example", "10.0.0.1")
    elif what == "stranger":
        issued = trustme.CA().issue_cert("127.0.0.1")
    elif what == "chain":
        issued = authority.create_child_ca().issue_cert("127.0.0.1")
        path.write_bytes(issued.private_key_pem.bytes() + issued.cert_chain_pems[0].bytes())
        return path
    else:  # an authority that serves its own certificate
        own = trustme.CA()
        path.write_bytes(own.private_key_pem.bytes() + own.cert_pem.bytes())
        return path
    issued.private_key_and_cert_chain_pem.write_to_path(str(path))
    return path
