"""The state files: their lines, crash-safe writing, the ledger, the key index, the run binding.

May import the ground floor, settings, console, http and resilience. Begin with files.py (the crash rules),
then ledger.py (completed.txt and failed_transfers.txt).
"""
