"""Planning, before a byte moves: the status of each line of urls.txt, key collisions, the run plan, time and cost.

May import state, cdn, destinations and below. Begin with run_plan.py.
"""
