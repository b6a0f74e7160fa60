"""One URL: download, check, upload, prove, retry; and whose fault a failure was.

May import state, cdn, destinations and below. Begin with pipeline.py.
"""
