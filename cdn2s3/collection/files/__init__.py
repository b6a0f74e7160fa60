"""Files on this machine as a source of URLs: lot files and exports.

May import the room collection's own ground (base.py) and what collection may. Begin with lot_files.py.
"""
