"""The loop that anyone would write: requests.get, put_object, 150 threads. Nothing tuned, nothing checked.

python plain_loop.py URLS ENDPOINT BUCKET WORKERS     (URLS: lines of url <tab> key)
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import boto3
import requests
from botocore.config import Config


def main() -> int:
    urls, endpoint, bucket, workers = sys.argv[1:]
    session = requests.Session()
    adapter = requests.adapters.HTTPAdapter(pool_maxsize=int(workers))
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    # Over HTTPS boto3 would send chunks with a trailer, which nginx would store as they are; without, it is
    # a little faster, so the ratio to this loop is a little worse than it would be.
    checksums: Literal["when_required", "when_supported"]
    checksums = "when_required" if endpoint.startswith("https") else "when_supported"
    config = Config(max_pool_connections=int(workers), request_checksum_calculation=checksums)
    client = boto3.client("s3", endpoint_url=endpoint, config=config)

    def move(line: str) -> None:
        url, key = line.split("\t")
        response = session.get(url, timeout=30)
        response.raise_for_status()
        client.put_object(Bucket=bucket, Key=key, Body=response.content, ContentType="image/jpeg")

    lines = Path(urls).read_text(encoding="ascii").splitlines()
    with ThreadPoolExecutor(int(workers)) as pool:
        for _ in pool.map(move, lines):
            pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
