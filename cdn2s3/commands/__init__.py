"""The commands beside a run: one file a verb, each with add_arguments(parser) and run(settings, arguments, signals).

May import executors, reports and below. Begin with plan.py.
"""
