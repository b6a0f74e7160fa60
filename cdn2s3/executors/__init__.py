"""Executors run the transfers: a pool of threads in this process, or several processes each with such a pool, here or
in a Dask cluster.

May import transfer, planning, collection and below. Begin with base.py (the contract of an executor), then threads.py.
"""
