"""Run a command until stdin ends; then kill it and everything that it started in its process group.

    python leash.py COMMAND...

For the leader of a session of its own. However the process at the other end of the pipe dies, kill -9 included, its
end of the pipe is closed, and no server outlives it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading


def _kill(child: subprocess.Popen[bytes]) -> None:
    child.kill()  # it may have made a session of its own
    os.killpg(0, signal.SIGKILL)  # this process is in the group, too


def main() -> None:
    if os.getpgrp() != os.getpid():
        sys.exit("leash.py: has to lead a process group of its own")
    child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)

    def until_it_ends() -> None:
        child.wait()
        _kill(child)

    threading.Thread(target=until_it_ends, daemon=True).start()
    sys.stdin.buffer.read()
    _kill(child)


if __name__ == "__main__":
    main()
