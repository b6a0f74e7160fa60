"""Before a byte moves: the status of each line of urls.txt, key collisions, what a run does, takes and costs.

May import state, cdn, destinations and below. Begin with run_plan.py.
"""
