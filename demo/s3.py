"""Run moto's server, a stand-in for S3 that keeps everything in memory.

python -m demo.s3 --port 8082
"""

from __future__ import annotations

import argparse
import logging

from moto.moto_server.threaded_moto_server import ThreadedMotoServer

from demo.server import wait_for_the_end


def main(argv: list[str] | None = None) -> int:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(description="Run moto as a local S3; the port is printed.")
    parser.add_argument("--port", type=int, default=0, help="0 (the default): any free one; it is printed")
    parser.add_argument("--until-stdin-closes", action="store_true", help="end when the parent process ends")
    options = parser.parse_args(argv)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # not a line per request
    server = ThreadedMotoServer("127.0.0.1", options.port, verbose=False)
    server.start()
    try:
        wait_for_the_end(server.get_host_and_port()[1], options.until_stdin_closes)
    finally:
        server.stop()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
