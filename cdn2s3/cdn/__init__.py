"""The source of the bytes: ask the CDN for one file, read its body into bounded memory, know an image by its bytes.

May import the ground floor, settings, console, http and resilience. Begin with client.py.
"""
