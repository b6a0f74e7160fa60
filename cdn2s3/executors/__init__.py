"""Who runs the transfers: a pool of threads in this process, or several processes each with such a pool.

May import transfer, planning, collection and below. Begin with base.py (what an executor promises), then threads.py.
"""
