"""The AWS regions that the installed botocore knows."""

from __future__ import annotations

import importlib.metadata

from cdn2s3.settings.spelling import nearest


def known_regions() -> frozenset[str]:
    """Return every region of every partition, without the pseudo-regions such as aws-global."""
    from botocore.loaders import Loader  # imported only when needed: collect_urls.py works without botocore

    partitions = Loader().load_data("partitions")["partitions"]
    return frozenset(
        region for partition in partitions for region in partition["regions"] if "global" not in region
    )


def unknown_region(region: str) -> str:
    """Return the message for a region that botocore does not know, empty if it knows it."""
    known = known_regions()
    if region in known:
        return ""
    meant = nearest(region, sorted(known))
    hint = f"did you mean {meant}? " if meant else ""
    version = importlib.metadata.version("botocore")
    return (
        f"AWS_REGION={region!r} isn't a region that botocore {version} knows; {hint}"
        "A newer region needs a newer boto3: pip install -U boto3"
    )
