"""A whole migration and the conformance suite on real S3 stores: `make stores`.

run.py is the command; servers/ has one module per store; story.py, bucket.py and odd_keys.py are the checks; judge.py
looks into the bucket with plain boto3. docs/stores.md says what came of it.
"""
