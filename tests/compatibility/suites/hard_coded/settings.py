import os

# What the data platform team's wiki says to set.
ENDPOINT = os.environ.get("DATALAKE_ENDPOINT", "https://s3.eu-central-1.amazonaws.com")
ACCESS_KEY = "AKIA4Q3TXMPLR7WVN2HD"
SECRET_KEY = "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"
PROFILE = "prod"
BUCKET = "acme-prod-lake"
