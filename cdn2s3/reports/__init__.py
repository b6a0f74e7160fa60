"""The results of a run: the accounting of every line, metrics, and the reports as JSON and HTML.

May import transfer, planning, collection and below. Begin with accounting.py.
"""
