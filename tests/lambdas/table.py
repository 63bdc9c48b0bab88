"""Start an engine for the functions' tests, and create the table of links in it."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from project import free_port, until

from .functions import RUNTIME

NAME = "shortlinks"
Item = dict[str, dict[str, str]]


@dataclass(frozen=True)
class Table:
    """Read and fill the table by a client that is not the functions'."""

    engine: str
    client: Any

    @classmethod
    def create(cls, engine: str) -> "Table":
        client = boto3.client(
            "dynamodb",
            endpoint_url=engine,
            region_name=RUNTIME["AWS_DEFAULT_REGION"],
            aws_access_key_id=RUNTIME["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=RUNTIME["AWS_SECRET_ACCESS_KEY"],
        )
        client.create_table(
            TableName=NAME,
            KeySchema=[{"AttributeName": "code", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("code", "owner_id")],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "by-owner",
                    "KeySchema": [
                        {"AttributeName": "owner_id", "KeyType": "HASH"},
                        {"AttributeName": "code", "KeyType": "RANGE"},
                    ],
                    "Projection": {"ProjectionType": "KEYS_ONLY"},
                }
            ],
            BillingMode="PAY_PER_REQUEST",
        )
        return cls(engine, client)

    def rows(self) -> dict[str, Item]:
        """Return every item, by its code."""
        pages = self.client.get_paginator("scan").paginate(TableName=NAME, ConsistentRead=True)
        return {item["code"]["S"]: item for page in pages for item in page["Items"]}

    def put(
        self, code: str, long_url: str = "https://example.com/taken", owner: str = "user-0", expires_at: int = 0
    ) -> Item:
        """Store a link that was clicked seven times."""
        item = {
            "code": {"S": code},
            "long_url": {"S": long_url},
            "owner_id": {"S": owner},
            "click_count": {"N": "7"},
            **({"expires_at": {"N": str(expires_at)}} if expires_at else {}),
        }
        self.client.put_item(TableName=NAME, Item=item)
        return item

    def empty(self) -> None:
        for code in self.rows():
            self.client.delete_item(TableName=NAME, Key={"code": {"S": code}})


@contextmanager
def engine(folder: Path) -> Iterator[str]:
    """Run a MiniStack that keeps nothing, and yield its URL."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    with (folder / "engine.log").open("w") as log:
        process = subprocess.Popen(
            [Path(sys.executable).with_name("ministack")],
            env={
                "PATH": os.defpath,
                "HOME": str(folder),
                "TMPDIR": str(folder),
                "GATEWAY_PORT": str(port),
                "BIND_HOST": "127.0.0.1",
                "PERSIST_STATE": "0",
            },
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        until(f"MiniStack answers ({log.name})", lambda: process.poll() is not None or _is_healthy(url))
        assert process.poll() is None, f"MiniStack died:\n{Path(log.name).read_text()}"
        yield url
    finally:
        process.terminate()
        process.wait(timeout=30)


def _is_healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/_ministack/health", timeout=5) as answer:
            return bool(json.load(answer)["services"]["dynamodb"] == "available")
    except (OSError, ValueError, KeyError):
        return False
