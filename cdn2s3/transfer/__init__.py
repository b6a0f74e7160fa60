"""One URL: download, check, upload, prove, retry; and the attribution of failures to the URL or the endpoint.

May import state, cdn, destinations and below. Begin with pipeline.py; attempts.py has the only layer of retries.
"""
