"""The code of the three scripts, in rooms; imports point only down this list.

errors, text, keys, records, file_names, atomic_file, bootstrap: the ground floor
settings, console, http, resilience < state, cdn, destinations < collection, planning, transfer
< executors, reports < validation, commands < the scripts. tests/meta/test_layers.py keeps it so.
"""

__version__ = "1.0.dev0"  # in runs.txt and the reports
