"""The settings: their declarations and parsers, and how an env file and the environment are combined.

May import the ground floor only. Begin with declarations.py, the table of all settings.
"""
