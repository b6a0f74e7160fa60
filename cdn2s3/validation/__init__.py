"""Phase 2: what should be at the destination, what is there, how they differ, and the verdict.

May import executors, reports and below. Begin with expected.py, then comparison.py.
"""
