"""Local servers for the tests: an S3 as strict as the real one and a CDN as nasty as the internet.

No code outside tests/ and demo/ imports this package.
"""
