"""A process that has imported what the scripts import, and forks a real process for each start of a script.

A script's start costs 0.45 s of CPU, nearly all of it for imports, and the tests start scripts a thousand times. Run as
`python [FLAGS] tests/fork_server.py FD BUNDLE`, where FD is a socket of its own, with tests/processes.py at its other
end, and BUNDLE is a short list of authorities.

What the new process has of its own: pid, arguments, environment, working directory, standard streams, limits, signals,
session, `__main__`, exit code. What it shares with its siblings: the imports, the hash seed, and what Python reads once
when it starts (flags, PYTHON* and locale variables): a server of its own serves each set of these.
"""

from __future__ import annotations

import atexit
import fcntl
import gc
import importlib
import io
import json
import os
import pkgutil
import resource
import signal
import socket
import sys
import termios
import threading
import types
import warnings
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
_MOST_BYTES = 1 << 20  # of a message
_STREAMS = 3
_FIRST_OTHER_FD, _LAST_FD = 3, 4096


def preload(bundle: str) -> None:
    """Do what every start does alike: imports, botocore's data, templates; bundle is certifi's from now on."""
    sys.path[0] = str(ROOT)
    for name in ("boto3.s3.inject", "collect_urls", "migrate", "validate", "variants"):
        importlib.import_module(name)
    import cdn2s3

    for module in pkgutil.walk_packages(cdn2s3.__path__, "cdn2s3."):
        if module.name != "cdn2s3.variants.drawing":  # of processes of its own, and Pillow may be missing
            importlib.import_module(module.name)
    from botocore.session import Session

    from cdn2s3.reports import html, migration_report
    from tests import warm

    warm.trust(bundle)
    warm.share_botocore_data()
    migration_report.versions()
    for template in html._ENVIRONMENT.list_templates():
        html._ENVIRONMENT.get_template(template)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # boto3 says which Python it is about to leave behind
        client = Session().create_client(
            "s3", region_name="us-west-2", aws_access_key_id="none", aws_secret_access_key="none"
        )
        client.close()
    gc.collect()
    gc.freeze()  # a collection in a child would copy every page of it


def serve(connection: socket.socket) -> dict[str, Any]:
    """Answer requests until the other end is closed; return in each forked process, with the request it is for."""
    while True:
        message, fds, _, _ = socket.recv_fds(connection, _MOST_BYTES, _STREAMS)
        if not message:
            sys.exit(0)
        request: dict[str, Any] = json.loads(message)
        if "ended" in request:
            answer = _exit_code(request["ended"])
        else:
            answer = os.fork()
            if answer == 0:
                connection.close()
                _become(request, fds)
                return request
            for fd in fds:
                os.close(fd)
        connection.send(json.dumps(answer).encode())


def _exit_code(pid: int) -> int | None:
    """Return the exit code of a child as subprocess gives it, None if it still runs."""
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def _become(request: dict[str, Any], fds: list[int]) -> None:
    """Give this process what a new one would get: streams, session, limits, folder, environment."""
    for number, fd in enumerate(fds):
        os.dup2(fd, number)
    os.closerange(_FIRST_OTHER_FD, _LAST_FD)
    if request["own_session"]:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.stdin, sys.stdout, sys.stderr = (
        _stream(number, mode, old)
        for number, (mode, old) in enumerate((("r", sys.stdin), ("w", sys.stdout), ("w", sys.stderr)))
    )
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr  # type: ignore[misc]
    for what, values in request["limits"].items():
        resource.setrlimit(int(what), tuple(values))


def _stream(number: int, mode: str, old: Any) -> Any:
    """Return a standard stream as Python opens it at its start."""
    unbuffered = old.write_through  # PYTHONUNBUFFERED
    is_raw = unbuffered and mode == "w"
    binary = open(number, f"{mode}b", buffering=0 if is_raw else -1, closefd=False)  # noqa: SIM115  # for life
    (binary if is_raw else binary.raw).name = old.name
    at_each_line = not unbuffered and (number == 2 or os.isatty(number))
    stream = io.TextIOWrapper(binary, old.encoding, old.errors, "\n", at_each_line, unbuffered)
    stream.mode = mode
    return stream


def run(words: list[str]) -> None:
    """Run what follows the interpreter and its flags in a command: `-c CODE ...` or `SCRIPT ...`."""
    main = types.ModuleType("__main__")
    if words[0] == "-c":
        code, arguments = words[1], ["-c", *words[2:]]
        sys.path[0] = ""
        compiled = compile(code, "<string>", "exec")
    else:
        script, arguments = Path(words[0]), words
        main.__file__ = str(script.absolute())
        sys.path[0] = str(script.resolve().parent)
        compiled = compile(script.read_bytes(), words[0], "exec")
    sys.argv[:] = arguments
    sys.modules["__main__"] = main
    exec(compiled, main.__dict__)


def run_and_end(words: list[str]) -> None:
    """Run words and end the process as Python does, but without freeing its objects one by one (45 ms of CPU).

    Where something is odd about the end, and where warnings are wanted of what is freed unclosed, Python ends it.
    """
    try:
        run(words)
        code: object = None
    except SystemExit as ended:
        code = ended.code
    if not sys.warnoptions and (code is None or isinstance(code, int)):
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        try:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
        except (AttributeError, ValueError, OSError):
            pass  # closed, or its reader is gone or its disk full: Python says so, and has an exit code for it
        else:
            os._exit((code or 0) & 0xFF)
    sys.exit(code)  # type: ignore[arg-type]


if __name__ == "__main__":
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever runs the tests may do so under nohup
    with socket.socket(fileno=int(sys.argv[1])) as ours:
        preload(sys.argv[2])
        request = serve(ours)
    run_and_end(request["command"])
