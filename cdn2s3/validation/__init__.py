"""Phase 2: the expected objects, the objects found, how they differ, and the verdict.

May import executors, reports and below. Begin with expected.py, then comparison.py.
"""
