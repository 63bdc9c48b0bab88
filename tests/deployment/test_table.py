"""A table that an earlier version made gets the index and the TTL, with its links kept, while requests are answered."""

import threading
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

import builds
from project import Project, Stack
from stack.definition import DEFINITION
from stack.model import Table

OLD = replace(
    DEFINITION,
    tables=(Table("shortlinks", key="code"),),
    functions=builds.FEW.functions,
)
KEYS = [{"AttributeName": "owner_id", "KeyType": "HASH"}, {"AttributeName": "code", "KeyType": "RANGE"}]
STRINGS = [{"AttributeName": name, "AttributeType": "S"} for name in ("code", "owner_id")]


@pytest.fixture
def old(bare: Project) -> Project:
    """Return a stack whose table has neither an index nor a TTL."""
    builds.succeed(bare, OLD)
    assert indexes(bare.stack) == []
    return bare


def indexes(stack: Stack) -> list[dict[str, Any]]:
    table = stack.client("dynamodb").describe_table(TableName="shortlinks")["Table"]
    found: list[dict[str, Any]] = table.get("GlobalSecondaryIndexes", [])
    return found


def ttl(stack: Stack) -> dict[str, Any]:
    found: dict[str, Any] = stack.client("dynamodb").describe_time_to_live(TableName="shortlinks")
    return {name: found["TimeToLiveDescription"].get(name) for name in ("TimeToLiveStatus", "AttributeName")}


def owned(stack: Stack, owner: str) -> list[str]:
    answer = stack.client("dynamodb").query(
        TableName="shortlinks",
        IndexName="by-owner",
        KeyConditionExpression="owner_id = :owner",
        ExpressionAttributeValues={":owner": {"S": owner}},
    )
    return [item["code"]["S"] for item in answer["Items"]]


def converged(project: Project) -> None:
    """Build: the table is updated, and another build finds nothing to do."""
    assert ("table", "shortlinks") in builds.succeed(project).changes("updated")
    assert not builds.succeed(project).changes("updated")
    ((found),) = indexes(project.stack)
    assert (found["IndexName"], found["KeySchema"], found["IndexStatus"]) == ("by-owner", KEYS, "ACTIVE")
    assert found["Projection"] == {"ProjectionType": "KEYS_ONLY"}
    assert ttl(project.stack) == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires_at"}


def test_a_table_without_index_and_ttl_gets_them_while_requests_are_answered(old: Project) -> None:
    stack = old.stack
    for code in ("one", "two"):
        stack.shorten({"long_url": "https://example.com/", "code": code})
    stack.shorten({"long_url": "https://example.com/", "code": "three"}, user="user-2")
    before = stack.client("dynamodb").scan(TableName="shortlinks")["Items"]
    built = threading.Event()
    statuses: Counter[int] = Counter()

    def visit() -> None:
        while not built.is_set():
            statuses[stack.follow("three").status_code] += 1
            built.wait(0.01)

    visitor = threading.Thread(target=visit)
    visitor.start()
    try:
        converged(old)
    finally:
        built.set()
        visitor.join()
    assert set(statuses) == {302}
    after = stack.client("dynamodb").scan(TableName="shortlinks")["Items"]
    assert [item for item in after if item["code"]["S"] != "three"] == [
        item for item in before if item["code"]["S"] != "three"
    ]
    assert stack.clicks("three") == statuses[302]
    assert owned(stack, "user-1") == ["one", "two"]
    assert owned(stack, "user-2") == ["three"]
    with stack.http(headers={"Authorization": f"Bearer {stack.token('user-1')}"}) as client:
        assert [link["code"] for link in client.get("/links").json()["links"]] == ["one", "two"]


def test_an_index_with_other_keys_is_replaced_another_index_stays_and_so_does_a_ttl_on_another_attribute(
    old: Project,
) -> None:
    stack = old.stack
    wrong = {"Enabled": True, "AttributeName": "until"}
    stack.client("dynamodb").update_time_to_live(TableName="shortlinks", TimeToLiveSpecification=wrong)
    for name in ("by-owner", "theirs"):
        stack.client("dynamodb").update_table(
            TableName="shortlinks",
            AttributeDefinitions=STRINGS,
            GlobalSecondaryIndexUpdates=[
                {"Create": {"IndexName": name, "KeySchema": KEYS[:1], "Projection": {"ProjectionType": "ALL"}}}
            ],
        )
    stack.shorten({"long_url": "https://example.com/", "code": "one"})
    error = builds.run(old).error
    assert error.startswith("table shortlinks deletes items by the attribute until, and the stack needs expires_at: ")
    assert "\n" not in error
    assert ttl(stack) == {"TimeToLiveStatus": "ENABLED", "AttributeName": "until"}
    assert {one["IndexName"]: one["KeySchema"] for one in indexes(stack)} == {"by-owner": KEYS, "theirs": KEYS[:1]}
    assert owned(stack, "user-1") == ["one"]
    stack.client("dynamodb").update_time_to_live(
        TableName="shortlinks", TimeToLiveSpecification={**wrong, "Enabled": False}
    )
    builds.succeed(old)
    assert ttl(stack) == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires_at"}
