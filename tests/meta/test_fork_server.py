"""A script that is forked gets what one that is started for real gets."""

from __future__ import annotations

import os
import pty
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT, processes
from tests.processes import Process
from tests.running import environment

SAY_ALL = """
import os, resource, signal, sys, warnings
print(sys.argv, sys.path[0], os.getcwd(), sys.warnoptions, __name__, globals().get("__file__"))
print(sorted(os.environ), os.environ["OWN"])
for stream in (sys.stdin, sys.stdout, sys.stderr):
    print(stream.fileno(), stream.name, stream.mode, stream.encoding, stream.errors, stream.line_buffering)
print([str(signal.getsignal(getattr(signal, name))) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGPIPE")])
print(sorted(os.listdir("/proc/self/fd")), resource.getrlimit(resource.RLIMIT_NOFILE))
print(sys.stdin.read() == "", end="", flush=False)
print("on stderr", end="", file=sys.stderr)
"""
END = """
import atexit, sys, threading, time
atexit.register(print, "atexit")
threading.Thread(target=lambda: (time.sleep(0.05), print("thread"))).start()
"""


@pytest.mark.parametrize(("flags", "unbuffered"), [([], ""), (["-W", "error"], "1")], ids=["plain", "strict"])
@pytest.mark.parametrize("how", ["script", "code"])
def test_process_is_like_one_from_nothing(
    how: str, flags: list[str], unbuffered: str, tmp_path: Path
) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # this may run under nohup
    (tmp_path / "say.py").write_text(SAY_ALL)
    words = ["-c", SAY_ALL] if how == "code" else ["say.py"]
    command = [sys.executable, *flags, *words, "one", "two words"]
    variables = {**environment(tmp_path), "PYTHONUNBUFFERED": unbuffered, "OWN": "é"}
    forked = processes.run(command, tmp_path, variables)
    real = subprocess.run(
        command, cwd=tmp_path, env=variables, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    assert forked.stdout.splitlines() == real.stdout.decode().splitlines()
    assert forked.stderr == real.stderr.decode()
    assert forked.returncode == real.returncode == 0


@pytest.mark.parametrize(
    ("code", "exit_code", "out", "last_line"),
    [
        ("import sys; sys.exit(7)", 7, "", ""),
        ("import sys; sys.exit('why')", 1, "", "why"),
        ("1 / 0", 1, "", "ZeroDivisionError: division by zero"),
        ("import os; os.kill(os.getpid(), 9)", -9, "", ""),
        ("import os; os._exit(3)", 3, "", ""),
        (END, 0, "thread\natexit\n", ""),
    ],
)
def test_end_is_that_of_a_process(
    code: str, exit_code: int, out: str, last_line: str, tmp_path: Path
) -> None:
    ran = processes.run([sys.executable, "-c", code], tmp_path, environment(tmp_path))
    assert (ran.returncode, ran.stdout, "".join(ran.stderr.splitlines()[-1:])) == (exit_code, out, last_line)


def test_signals_limits_and_patience(tmp_path: Path) -> None:
    code = (
        "import resource, sys; print(resource.getrlimit(resource.RLIMIT_FSIZE), flush=True); sys.stdin.read()"
    )
    reader, writer = os.pipe()
    command, limits = [sys.executable, "-c", code], {resource.RLIMIT_FSIZE: (1000, 2000)}
    with Process(command, tmp_path, environment(tmp_path), stdin=reader, limits=limits) as process:
        os.close(reader)
        with pytest.raises(subprocess.TimeoutExpired):
            process.communicate(timeout=0.2)
        assert process.poll() is None
        process.terminate()
        assert process.communicate(timeout=20) == ("(1000, 2000)\n", "")
        assert process.poll() == process.returncode == -signal.SIGTERM
        process.kill()  # of a process that has ended: nothing
    os.close(writer)


def test_process_leads_the_session_of_its_terminal(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    code = (
        "import os; print(os.getsid(0) == os.getpid() == os.tcgetpgrp(0), [os.isatty(n) for n in (0, 1, 2)])"
    )
    command = [sys.executable, "-c", code]
    variables = environment(ROOT)
    with Process(
        command, tmp_path, variables, stdin=theirs, stdout=theirs, stderr=theirs, own_session=True
    ) as process:
        assert process.wait(20) == 0
    assert os.read(ours, 1000) == b"True [True, True, True]\r\n"
    os.close(ours)
    os.close(theirs)
