"""Who listens where: the TCP ports of a process, from Linux's /proc."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_LISTEN = "0A"  # state of a socket in /proc/net/tcp


def listening(pids: Iterable[int]) -> set[tuple[str, int]]:
    """Return the address and port of each TCP socket on which one of the processes listens."""
    found = set()
    for pid in pids:
        own = _sockets_of(pid)
        for name, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
            table = Path(f"/proc/{pid}/net/{name}")
            for line in table.read_text().splitlines()[1:] if table.exists() else ():
                fields = line.split()
                if fields[3] == _LISTEN and f"socket:[{fields[9]}]" in own:
                    found.add(_address(fields[1], family))
    return found


def _sockets_of(pid: int) -> set[str]:
    found = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            found.add(str(entry.readlink()))
    return found


def _address(text: str, family: int) -> tuple[str, int]:
    """Return the address in the kernel's form: words of four bytes, the least significant one first."""
    words, _, port = text.partition(":")
    packed = b"".join(bytes.fromhex(words[at : at + 8])[::-1] for at in range(0, len(words), 8))
    return socket.inet_ntop(family, packed), int(port, 16)
