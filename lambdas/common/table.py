"""Connect to DynamoDB, and name the table of links."""

import os

import boto3
from botocore.config import Config

TABLE = os.environ["TABLE"]

# The SDK composes its User-Agent header twice for each request, unless it is given one:
# a twelfth of the time of a call to a local engine, and a sixth of its processor time.
dynamodb = boto3.client("dynamodb", config=Config(user_agent="shortener"))
