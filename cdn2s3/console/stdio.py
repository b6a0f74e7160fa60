"""Standard output and error that survive a reader that is gone, or a full disk: the run continues without them.

A run's work, its files and its exit code do not depend on whether `| head` has read
all of its output.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
from pathlib import Path
from typing import Callable, TextIO

from cdn2s3.console.logging_setup import say_error
from cdn2s3.errors import EXIT_CANNOT_GO_ON, EXIT_DONE, EXIT_SOME_FAILED
from cdn2s3.text import escaped


class _LenientWriter(io.FileIO):
    """Accept every write; drop what cannot be written."""

    failure: OSError | None = None  # the first one; a reader that is gone does not count

    def write(self, data: object) -> int:
        try:
            return super().write(data)  # type: ignore[arg-type]  # what a buffer hands down
        except BrokenPipeError:
            pass
        except OSError as error:
            self.failure = self.failure or error
        return memoryview(data).nbytes  # type: ignore[arg-type]


_ESCAPED = "cdn2s3.escaped"


def _escape(error: UnicodeError) -> tuple[str, int]:
    """Escape what a stream cannot encode; an error handler for codecs."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(escaped, error.object[error.start : error.end])), error.end


codecs.register_error(_ESCAPED, _escape)


def run(main: Callable[[], int]) -> int:
    """Run a script's main to its end, whatever happens to its output; return the exit code.

    Characters that the terminal's encoding lacks are escaped. If standard output could not be written, an
    exit code of 0 or 1 becomes 3. For the main thread of a script's own process.
    """
    out = _opened(sys.stdout)
    sys.stdout = _text(out, sys.stdout)
    sys.stderr = _text(_opened(sys.stderr), sys.stderr)
    try:
        code = main()
    except SystemExit as ended:  # argparse: --help, or arguments that are wrong
        code = ended.code if isinstance(ended.code, int) else EXIT_DONE
    sys.stdout.flush()
    if out.failure is not None:
        say_error(
            Path(sys.argv[0]).name,
            f"cannot write to standard output: {out.failure.strerror}. Its last lines are lost, but the "
            "logs and reports are complete.",
        )
        if code in (EXIT_DONE, EXIT_SOME_FAILED):
            return EXIT_CANNOT_GO_ON
    return code


def _opened(stream: TextIO | None) -> _LenientWriter:
    """Return a raw writer to the file of stream, or to nowhere if the process was started without one.

    Then its number is in use, so no state file can get it.
    """
    fd = os.open(os.devnull, os.O_WRONLY) if stream is None else stream.fileno()
    return _LenientWriter(fd, "w", closefd=False)


class _FlushingText(io.TextIOWrapper):
    """Write immediately if the stream that it replaces did.

    With PYTHONUNBUFFERED=1 Python has no buffer below the text, but here there is one (a raw file may take a part of
    what it is given, and a buffer writes the rest). What stayed in it, such as the newline behind a progress bar,
    would come out after what others write to the terminal meanwhile.
    """

    def write(self, text: str) -> int:
        written = super().write(text)
        if self.write_through:
            self.flush()
        return written


def _text(raw: _LenientWriter, stream: TextIO | None) -> TextIO:
    """Return a stream like stream, over raw."""
    return _FlushingText(
        io.BufferedWriter(raw),
        encoding=getattr(stream, "encoding", "utf-8"),
        errors=_ESCAPED,
        line_buffering=getattr(stream, "line_buffering", False),
        write_through=getattr(stream, "write_through", False),
    )
