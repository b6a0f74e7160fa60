"""Local servers for the tests: an S3 as strict as the real one and a CDN as nasty as the internet.

    with S3Server(allow=frozenset({"PutObject"})) as s3, SourceServer() as source:
        s3.rules.add(Rule("SlowDown", until=30.0))              # everybody, for 30 seconds
        source.rules.add(Rule("short_body", probability=0.05, sticky=True, per_key=1))  # 5 % of paths, once
        source.network.refuse(seconds=5)                        # the same port comes back
        source.body(url), s3.objects("bucket"), s3.log, s3.store.writes, source.requests

No code outside tests/ and demo/ imports this package.
"""
