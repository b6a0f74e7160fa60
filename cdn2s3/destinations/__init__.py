"""Where images go. base.py says what a destination promises; each kind is a module or a room below.

May import the ground floor, settings, console, http and resilience. Begin with base.py.
"""
