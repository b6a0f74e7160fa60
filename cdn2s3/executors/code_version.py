"""Which code this is: what a Dask worker is asked for before it gets a task, since it must be the coordinator's."""

from __future__ import annotations

import sys
from hashlib import sha256
from pathlib import Path

import cdn2s3


def _digest(folder: Path) -> str:
    found = sha256()
    for path in sorted(folder.rglob("*.py"), key=lambda path: path.relative_to(folder).as_posix()):
        content = path.read_bytes()
        found.update(f"{path.relative_to(folder).as_posix()} {len(content)}\n".encode())
        found.update(content)
    return found.hexdigest()[:12]


# Python's minor version is a part of it: what one pickles another may not read (pathlib of 3.13).
CODE = (
    f"cdn2s3 {cdn2s3.__version__} ({_digest(Path(cdn2s3.__file__).parent)}), "
    f"Python {sys.version_info[0]}.{sys.version_info[1]}"
)
