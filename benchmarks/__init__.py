"""Measure the migration beside other tools, on one machine, in one run: `make bench`, `make scale`."""
