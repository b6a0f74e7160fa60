"""Smaller images, made after the move: which are due, how one is drawn, stored, recorded and undone.

May import everything below the scripts. Begin with record.py, then maker.py. Only drawing.py needs Pillow, and runs in
processes of its own.
"""
