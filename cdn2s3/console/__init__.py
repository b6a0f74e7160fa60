"""What a person sees and does at the terminal: log, progress bar, signals, the commands that messages name.

May import the ground floor only. Begin with logging_setup.py and progress.py.
"""
