"""The state files: their lines, how they are written so that a crash loses nothing, what they record.

May import the ground floor, settings, console, http and resilience. Begin with files.py (the crash rules),
then ledger.py (completed.txt and failed_transfers.txt).
"""
