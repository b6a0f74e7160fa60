"""The commands besides a plain run: one file per verb, each with add_arguments(parser) and run(settings, ...).

May import executors, reports and below. Begin with plan.py.
"""
