"""An S3 bucket as the destination: signed requests, capability probe, upload, multipart, listing, error table.

Imports what destinations/ may. Begin with destination.py (one upload), then capabilities.py (what the store checks).
"""
