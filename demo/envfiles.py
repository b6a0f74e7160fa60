"""The two settings files of the demo, as a user would have edited them."""

from __future__ import annotations

PREFIX = "images/"
STRIP = "auctionimages/"
CREDENTIALS = ("demo", "demo-secret")  # moto takes any

COLLECTION = """\
# Where the list of images comes from, for: python collect_urls.py --env-file collection.env

SOURCE=api
API_BASE_URL={api_url}
API_AUTH_TOKEN={token}
# Requests a second that the API's owner allows.
API_RATE_LIMIT=10
RESULTS_PER_PAGE=50

# How the API pages, and where its answers hold what (JMESPath).
API_PAGINATION=page
API_ITEMS_FIELD=items
API_URLS_FIELD=items[].[image_url, thumb_url][]
API_TOTAL_FIELD=total

OUTPUT_FILE=urls.txt
CHECKPOINT_FILE=checkpoint.json
CHECKPOINT_INTERVAL=500

# Anything else the API hands out is rejected.
URL_PREFIX={cdn_url}/
EXPECTED_TOTAL={urls}
DEFAULT_REGION=us-west-2
"""

MIGRATION = """\
# From where to where, for: python migrate.py --env-file migration.env
# and:                      python validate.py --env-file migration.env

SOURCE_URLS_FILE=urls.txt
URL_PREFIX={cdn_url}/

DESTINATION_BUCKET={bucket}
DESTINATION_PREFIX={prefix}
# The same file names return in every folder: keep the folders.
PRESERVE_PATH_STRUCTURE=true
STRIP_PATH_PREFIX={strip}

AWS_REGION={region}
# moto's server instead of S3. On EC2 these three lines are left out: S3 is the default, and the
# instance's role has the credentials.
AWS_ENDPOINT_URL={s3_url}
AWS_ACCESS_KEY_ID={access_key}
AWS_SECRET_ACCESS_KEY={secret_key}

CONCURRENCY=32
MAX_RETRIES=3
# Seconds. Short, so that the slow drip is found soon.
DOWNLOAD_TIMEOUT=5
UPLOAD_TIMEOUT=20
OUTAGE_LIMIT=60
STATE_DIR=.
"""


def collection_env(api_url: str, token: str, cdn_url: str, urls: int) -> str:
    """Return collection.env's text; the URLs come without a slash at the end, urls is how many there must be."""
    return COLLECTION.format(api_url=api_url, token=token, cdn_url=cdn_url, urls=urls)


def migration_env(cdn_url: str, s3_url: str, region: str, bucket: str) -> str:
    """Return migration.env's text; the URLs come without a slash at the end."""
    access_key, secret_key = CREDENTIALS
    return MIGRATION.format(
        cdn_url=cdn_url,
        s3_url=s3_url,
        region=region,
        bucket=bucket,
        prefix=PREFIX,
        strip=STRIP,
        access_key=access_key,
        secret_key=secret_key,
    )
