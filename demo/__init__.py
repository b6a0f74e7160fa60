"""A small world to try the three scripts in: a local API, CDN and S3, with known faults planted among the images."""
