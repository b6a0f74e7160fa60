"""The terminal: log, progress bar, signals, standard streams, the commands that messages suggest.

May import the ground floor only. Begin with logging_setup.py and progress.py.
"""
