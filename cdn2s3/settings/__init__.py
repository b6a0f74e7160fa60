"""The settings: what each is, how its text is parsed, and how an env file and the environment become one.

May import the ground floor only. Begin with declarations.py, the table of all settings.
"""
