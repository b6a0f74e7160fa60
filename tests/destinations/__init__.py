"""What every destination promises: the same cases on each of them (stores.py)."""
