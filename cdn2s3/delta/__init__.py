"""The delta: look at everything that is completed, judge what has changed as a whole, then renew what is ours.

May import planning, transfer and below. Begin with run.py.
"""
