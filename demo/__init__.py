"""A small world to try the three scripts in: local API, CDN and S3, with known faults planted in them."""

import sys

# In words that Python 2 understands, and before a module is read that Python 3.8 does not.
if sys.version_info < (3, 9):  # noqa: UP036
    _found = ".".join(map(str, sys.version_info[:2]))
    sys.exit("demo: Python 3.9 or newer is needed; " + sys.executable + " is Python " + _found)
