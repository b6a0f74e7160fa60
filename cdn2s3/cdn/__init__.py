"""The source of the bytes: request one file from the CDN, read its body into bounded memory, detect its image type.

May import the ground floor, settings, console, http and resilience. Begin with client.py.
"""
