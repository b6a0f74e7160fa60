"""Destinations of images. base.py is the contract of a destination; each kind is a module or a room below.

May import the ground floor, settings, console, http and resilience. Begin with base.py.
"""
