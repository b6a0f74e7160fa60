"""Move public images from a CDN to an S3 bucket: the parts that the three scripts are made of."""
