"""What DynamoDB acknowledged is there again after any end of the engine: MiniStack's own handlers, random requests."""

import asyncio
import json
import os
import resource
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stack.ministack import journal, names
from stack.ministack.journal import Journal
from stack.ministack.salvage import Salvage
from stack.ministack.tables import Tables

HASHES = ("a", "b", "ä\n")
RANGES = ("1", "2", "-3.5")
TABLES = ("plain", "ranged")
ENGINE = "1.5.33"


class Database:
    """MiniStack's DynamoDB in this process, with a journal that can be left at any moment."""

    def __init__(self) -> None:
        self.folder = Path()
        self.warnings: list[str] = []
        self.tables = Tables(Journal(Path("/nonexistent"), ENGINE, self.warnings.append))
        self.tables.journal.keep = lambda: None  # type: ignore[method-assign]
        self.tables.follow()

    def open(self, folder: Path) -> None:
        """Begin with what is in the folder alone."""
        for store in names.STORES:
            names.store(store).clear()
        if self.tables.journal.descriptor >= 0:
            os.close(self.tables.journal.descriptor)
            self.tables.journal.locked.close()
        self.folder = folder
        self.tables.journal = Journal(folder, ENGINE, self.warnings.append)
        self.tables.written = {}
        assert self.tables.journal.lock()
        self.tables.load(folder / "none.json")

    def leave(self) -> None:
        """Begin again with a copy of what is on disk, as after a kill."""
        copy = Path(tempfile.mkdtemp(dir=self.folder.parent))
        shutil.copytree(self.folder, copy, dirs_exist_ok=True)
        self.open(copy)

    def everything(self) -> Any:
        """Return all that DynamoDB keeps, in the order in which it is kept."""
        found: dict[str, Any] = {}
        for name, key, value in names.entries(names.STORES):
            if name == "_tables":
                rows = sorted((row, item) for row, item in names.rows(value))
                found[f"{key}"] = [names.without_items(value), value["ItemCount"], value["TableSizeBytes"], rows]
            else:
                found[f"{name} {key}"] = value
        return json.loads(json.dumps(found, sort_keys=True))

    def ask(self, operation: str, **request: Any) -> tuple[int, Any]:
        headers = {"x-amz-target": f"DynamoDB_20120810.{operation}"}
        status, _, body = asyncio.run(
            names.dynamodb.handle_request("POST", "/", headers, json.dumps(request).encode(), {})
        )
        return status, json.loads(body)


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    before = {name: getattr(names.dynamodb, name) for name in ("handle_request", "_set_item", "_remove_item", "reset")}
    yield Database()
    for name, value in before.items():
        setattr(names.dynamodb, name, value)


def key(table: str, hash_key: str, range_key: str) -> dict[str, Any]:
    return {"h": {"S": hash_key}, **({"r": {"N": range_key}} if table == "ranged" else {})}


def create(table: str) -> dict[str, Any]:
    schema = [{"AttributeName": "h", "KeyType": "HASH"}]
    attributes = [{"AttributeName": "h", "AttributeType": "S"}]
    if table == "ranged":
        schema.append({"AttributeName": "r", "KeyType": "RANGE"})
        attributes.append({"AttributeName": "r", "AttributeType": "N"})
    return {
        "TableName": table,
        "KeySchema": schema,
        "AttributeDefinitions": attributes,
        "BillingMode": "PAY_PER_REQUEST",
        "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    }


tables = st.sampled_from(TABLES)
keys = st.builds(
    lambda table, one, other: (table, key(table, one, other)), tables, st.sampled_from(HASHES), st.sampled_from(RANGES)
)
values = st.one_of(
    st.text(max_size=5).map(lambda text: {"S": text}),
    st.integers(-5, 5).map(lambda n: {"N": str(n)}),
    st.just({"M": {"n": {"L": [{"NULL": True}, {"BOOL": False}]}}}),
    st.just({"B": "AAEC"}),
    st.just({"SS": ["x", "y"]}),
)
conditions = st.sampled_from(
    [{}, {"ConditionExpression": "attribute_exists(h)"}, {"ConditionExpression": "attribute_not_exists(h)"}]
)
updates = st.sampled_from(
    [
        {"UpdateExpression": "ADD n :v", "ExpressionAttributeValues": {":v": {"N": "1"}}},
        {"UpdateExpression": "SET s = :v REMOVE v", "ExpressionAttributeValues": {":v": {"S": "set"}}},
        {
            "UpdateExpression": "SET l = list_append(if_not_exists(l, :e), :v)",
            "ExpressionAttributeValues": {":e": {"L": []}, ":v": {"L": [{"N": "1"}]}},
        },
        {"UpdateExpression": "SET n = n + :v", "ExpressionAttributeValues": {":v": {"N": "1"}}},
    ]
)


def where(table: str, one: dict[str, Any]) -> str:
    return " AND ".join(f"{name} = {value.get('N') or repr(value['S'])}" for name, value in one.items()).replace(
        "\\n", "\n"
    )


def put(target: tuple[str, Any], value: Any, condition: Any) -> tuple[str, Any]:
    return "PutItem", {"TableName": target[0], "Item": {**target[1], "v": value}, **condition}


def update(target: tuple[str, Any], change: Any, condition: Any) -> tuple[str, Any]:
    return "UpdateItem", {"TableName": target[0], "Key": target[1], **change, **condition}


def delete(target: tuple[str, Any], condition: Any) -> tuple[str, Any]:
    return "DeleteItem", {"TableName": target[0], "Key": target[1], **condition}


single = st.one_of(
    st.builds(put, keys, values, conditions),
    st.builds(update, keys, updates, conditions),
    st.builds(delete, keys, conditions),
)
batches = st.lists(
    st.one_of(st.builds(put, keys, values, st.just({})), st.builds(delete, keys, st.just({}))), min_size=1, max_size=5
).map(
    lambda requests: (
        "BatchWriteItem",
        {
            "RequestItems": {
                table: [
                    {"PutRequest": {"Item": one["Item"]}}
                    if name == "PutItem"
                    else {"DeleteRequest": {"Key": one["Key"]}}
                    for name, one in requests
                    if one["TableName"] == table
                ]
                for table in {one["TableName"] for _, one in requests}
            }
        },
    )
)
transactions = st.builds(
    lambda requests, token: (
        "TransactWriteItems",
        {
            "TransactItems": [{name.removesuffix("Item"): one} for name, one in requests],
            **({"ClientRequestToken": token} if token else {}),
        },
    ),
    st.lists(single, min_size=1, max_size=4),
    st.sampled_from(["", "token-1", "token-2"]),
)
statements = st.builds(
    lambda target, kind: {
        "Statement": {
            "insert": f"INSERT INTO \"{target[0]}\" VALUE {{'h': 'a', 'r': 1, 'v': 'inserted'}}",
            "update": f"UPDATE \"{target[0]}\" SET v = 'by PartiQL' WHERE {where(*target)}",
            "delete": f'DELETE FROM "{target[0]}" WHERE {where(*target)}',
        }[kind]
    },
    keys,
    st.sampled_from(["insert", "update", "delete"]),
)
of_tables = st.one_of(
    tables.map(lambda table: ("CreateTable", create(table))),
    tables.map(lambda table: ("CreateTable", create(table))),
    tables.map(lambda table: ("DeleteTable", {"TableName": table})),
    st.builds(
        lambda table, protected: ("UpdateTable", {"TableName": table, "DeletionProtectionEnabled": protected}),
        tables,
        st.sampled_from([False, False, True]),
    ),
    tables.map(
        lambda table: (
            "UpdateTimeToLive",
            {"TableName": table, "TimeToLiveSpecification": {"AttributeName": "t", "Enabled": True}},
        )
    ),
    tables.map(
        lambda table: (
            "TagResource",
            {
                "ResourceArn": f"arn:aws:dynamodb:us-east-1:000000000000:table/{table}",
                "Tags": [{"Key": "k", "Value": "v"}],
            },
        )
    ),
    tables.map(lambda table: ("CreateBackup", {"TableName": table, "BackupName": "backup"})),
    tables.map(
        lambda table: (
            "RestoreTableToPointInTime",
            {"SourceTableName": table, "TargetTableName": f"{table}-2", "UseLatestRestorableTime": True},
        )
    ),
    tables.map(
        lambda table: ("UpdateTable", {"TableName": table, "ReplicaUpdates": [{"Create": {"RegionName": "eu-west-1"}}]})
    ),
)
requests = st.one_of(
    single,
    single,
    batches,
    transactions,
    statements.map(lambda one: ("ExecuteStatement", one)),
    st.lists(statements, min_size=1, max_size=3).map(lambda some: ("BatchExecuteStatement", {"Statements": some})),
    st.lists(statements, min_size=1, max_size=3).map(lambda some: ("ExecuteTransaction", {"TransactStatements": some})),
    of_tables,
)
faults = st.sampled_from(
    ["kill", "kill", "torn", "fold", "fold-killed", "fold-unswept", "expire", "full", "room", "reset"]
)


def cause(database: Database, fault: str) -> None:
    """Do to the database what is to leave its contents as they are, but for a reset."""
    kept = database.tables.journal
    if fault == "kill":
        database.leave()
    elif fault == "torn":
        newest = journal.files(database.folder, "journal")[-1]
        with newest.open("ab") as file:
            file.write(journal.encode(kept.sequence + 1, b'[["i","x"]]')[:-7])
        database.leave()
    elif fault.startswith("fold"):
        upto = journal.number(journal.files(database.folder, "journal")[-1])
        kept._begin()
        if fault == "fold-killed":
            (database.folder / "snapshot-99999999.draft").write_bytes(b"half")
            database.leave()
            return
        journal.fold(database.folder, upto, ENGINE)
        if fault == "fold":
            kept._forget_what_is_folded()
        database.leave()
    elif fault == "expire":
        for table in list(names.store("_tables").values()):
            for row, _ in list(names.rows(table))[:1]:
                names.dynamodb._remove_item(table, *row)
    elif fault == "reset":
        names.dynamodb.reset()
        assert database.everything() == {}


@pytest.fixture
def file_limit() -> Iterator[Any]:
    """Set how large files may get, which is as good as a full disk."""
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size: int | None) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before[0] if size is None else size, before[1]))

    yield limit
    limit(None)
    signal.signal(signal.SIGXFSZ, ignored)


def go_through(database: Database, steps: list[Any], limit: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        database.open(Path(folder) / "first")
        for table in TABLES:
            assert database.ask("CreateTable", **create(table))[0] == 200
        full = False
        for step in steps:
            before = database.everything()
            if isinstance(step, str):
                if step in ("full", "room"):
                    full = step == "full"
                    continue
                cause(database, step)
                if step not in ("reset", "expire"):
                    assert database.everything() == before, step
                continue
            if full:
                limit(database.tables.journal.size)
            try:
                status, answer = database.ask(step[0], **step[1])
            finally:
                limit(None)
            if full and status == 400 and "cannot be written to" in answer.get("message", ""):
                assert database.everything() == before, f"{step} was refused and has an effect"
        last = database.everything()
        database.leave()
        assert database.everything() == last
        database.open(Path(folder) / "none")


@settings(max_examples=50, deadline=None, suppress_health_check=[*HealthCheck])
@given(steps=st.lists(st.one_of(requests, requests, requests, faults), max_size=30))
def test_a_replay_gives_the_same_tables(database: Database, file_limit: Any, steps: list[Any]) -> None:
    go_through(database, steps, file_limit)


@pytest.mark.search
@settings(max_examples=5000, deadline=None, suppress_health_check=[*HealthCheck])
@given(steps=st.lists(st.one_of(requests, requests, requests, faults), max_size=80))
def test_a_replay_gives_the_same_tables_in_a_long_search(database: Database, file_limit: Any, steps: list[Any]) -> None:
    go_through(database, steps, file_limit)


def salvage(database: Database, known: Path) -> list[str]:
    """Begin with what can be read of the folder; return what is said to be lost."""
    salvaged = Salvage(database.folder, ENGINE, json.loads(known.read_bytes()))
    salvaged.replace(database.folder / "damaged")
    database.leave()
    return salvaged.lost


def rows_of(database: Database) -> dict[tuple[Any, Any], Any]:
    return {(key, row): item for _, key, table in names.entries(["_tables"]) for row, item in names.rows(table)}


@settings(max_examples=30, deadline=None, suppress_health_check=[*HealthCheck])
@given(
    steps=st.lists(st.one_of(single, single, batches, st.sampled_from(["kill", "fold"])), min_size=5, max_size=30),
    data=st.data(),
)
def test_damage_is_found_and_costs_the_damaged_record_alone(
    database: Database, steps: list[Any], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        database.open(Path(folder) / "first")
        for table in TABLES:
            assert database.ask("CreateTable", **create(table))[0] == 200
        database.tables.known = known = Path(folder) / "noted/tables"
        database.tables.remember()
        database.tables.known = None
        for step in steps:
            if isinstance(step, str):
                cause(database, step)
            else:
                database.ask(step[0], **step[1])
        database.leave()
        before = rows_of(database)
        path = data.draw(
            st.sampled_from(journal.files(database.folder, "journal") + journal.files(database.folder, "snapshot"))
        )
        content = bytearray(path.read_bytes())
        place = data.draw(st.integers(0, len(content) - 1))
        start, end = content.rfind(b"\n", 0, place) + 1, content.find(b"\n", place)
        damaged = bytes(content[start : content.find(b"\n", end + 1) if place == end else end])
        touched = {one for one in HASHES if json.dumps(one).encode() in damaged}
        content[place] ^= data.draw(st.sampled_from([1, 2, 64, 128]))
        path.write_bytes(content)
        try:
            database.leave()
        except journal.UnreadableError:
            database.tables.journal.locked.close()
            salvage(database, known)
        after = rows_of(database)
        assert {one[1][0] for one in before.keys() | after.keys() if before.get(one) != after.get(one)} <= touched
        last = database.everything()
        database.leave()
        assert database.everything() == last
        database.open(Path(folder) / "none")


@pytest.mark.parametrize("when", ["before", "between", "after"])
def test_items_of_a_table_that_was_deleted_do_not_come_back(database: Database, tmp_path: Path, when: str) -> None:
    database.open(tmp_path / "first")
    assert database.ask("CreateTable", **create("plain"))[0] == 200
    for number in range(3):
        assert (
            database.ask(
                *put(("plain", key("plain", str(number), "")), {"S": "old"}, {})[:1],
                **put(("plain", key("plain", str(number), "")), {"S": "old"}, {})[1],
            )[0]
            == 200
        )
    if when == "before":
        cause(database, "fold")
    assert database.ask("DeleteTable", TableName="plain")[0] == 200
    if when == "between":
        cause(database, "fold")
    assert database.ask("CreateTable", **create("plain"))[0] == 200
    assert database.ask("PutItem", TableName="plain", Item={"h": {"S": "new"}})[0] == 200
    cause(database, "fold")
    database.leave()
    (table,) = names.store("_tables").values()
    assert [row[0] for row, _ in names.rows(table)] == ["new"]


def test_items_of_a_table_that_was_replaced_without_a_request_do_not_come_back(
    database: Database, tmp_path: Path
) -> None:
    database.open(tmp_path / "first")
    assert database.ask("CreateTable", **create("plain"))[0] == 200
    assert database.ask("PutItem", TableName="plain", Item={"h": {"S": "old"}})[0] == 200
    ((scope, table),) = names.store("_tables").items()
    names.store("_tables")[scope] = {**table, "items": {}, "TableId": "another"}
    database.tables.write_entries(["_tables"])
    database.leave()
    (table,) = names.store("_tables").values()
    assert [*names.rows(table)] == []


def test_a_token_is_forgotten_when_its_time_is_over(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.open(tmp_path / "first")
    assert database.ask("CreateTable", **create("plain"))[0] == 200
    item = {"Put": {"TableName": "plain", "Item": {"h": {"S": "a"}}}}
    assert database.ask("TransactWriteItems", TransactItems=[item], ClientRequestToken="once")[0] == 200
    cause(database, "fold")
    assert len(names.store(journal.EXPIRING)) == 1
    later = time.time() + journal.EXPIRES + 1
    monkeypatch.setattr(time, "time", lambda: later)
    cause(database, "fold")
    assert not names.store(journal.EXPIRING)
