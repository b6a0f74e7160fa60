"""A small world to try the three scripts in: local API, CDN and S3, with known faults planted in them."""
