"""Phase 0: page an API or read files, keep urls.txt and its checkpoint, advise on the region.

May import state, cdn and below. Begin with base.py (what a source of URLs is), then api/json_api.py.
"""
