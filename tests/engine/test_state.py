"""State that was acknowledged is there after a kill; state that cannot be read stops the start, and is left."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import botocore.exceptions
import httpx
import pytest

from engine.bare import Engine
from project import TLS, answers, free_port, until
from stack.ministack import journal

TABLE = {
    "TableName": "links",
    "KeySchema": [{"AttributeName": "code", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "code", "AttributeType": "S"}],
    "BillingMode": "PAY_PER_REQUEST",
}


def put(engine: Engine, *codes: str) -> None:
    for code in codes:
        engine.client("dynamodb").put_item(TableName="links", Item={"code": {"S": code}, "text": {"S": "x" * 100}})


def codes(engine: Engine) -> list[str]:
    pages = engine.client("dynamodb").get_paginator("scan").paginate(TableName="links")
    return sorted(item["code"]["S"] for page in pages for item in page["Items"])


@pytest.fixture(scope="module")
def port() -> int:
    """Return the port of all engines here, one of which runs at a time, so that each client is made once."""
    return free_port()


@pytest.fixture
def own(tmp_path: Path, port: int) -> Iterator[Engine]:
    """Yield an engine that does not run yet, and that is for tables alone."""
    engine = Engine.fresh(tmp_path, functions=False)
    engine.port = port
    yield engine
    engine.close()


@pytest.fixture
def links(own: Engine) -> Engine:
    """Return a running engine with a table that has one item."""
    own.start()
    own.client("dynamodb").create_table(**TABLE)
    put(own, "first")
    return own


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory, port: int) -> Iterator[Engine]:
    """Yield a stopped engine with three items, of which the last start has not seen the third, and a role."""
    engine = Engine.fresh(tmp_path_factory.mktemp("saved"), functions=False)
    engine.port = port
    engine.start()
    engine.client("dynamodb").create_table(**TABLE)
    put(engine, "first")
    engine.client("iam").create_role(RoleName="kept", AssumeRolePolicyDocument="{}")
    put(engine, "second")
    engine.stop()
    engine.start()
    put(engine, "third")
    engine.stop()
    shutil.copytree(engine.state, engine.folder / "saved")
    yield engine
    engine.close()


@pytest.fixture
def stopped(saved: Engine) -> Iterator[Engine]:
    """Yield the same engine, whose state a test may damage."""
    shutil.rmtree(saved.state)
    shutil.copytree(saved.folder / "saved", saved.state)
    yield saved
    saved.kill()


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "lock"
    }


def test_what_was_acknowledged_is_there_after_a_kill_and_counted_once(links: Engine) -> None:
    client = links.client("dynamodb", attempts=1)
    written: set[str] = set()
    stopped = False

    for _ in range(10):
        client.update_item(
            TableName="links",
            Key={"code": {"S": "first"}},
            UpdateExpression="ADD clicks :one",
            ExpressionAttributeValues={":one": {"N": "1"}},
        )

    def write(worker: int) -> None:
        number = 0
        while not stopped:
            code = f"{worker}-{number}"
            try:
                client.put_item(TableName="links", Item={"code": {"S": code}})
            except botocore.exceptions.BotoCoreError:
                return
            written.add(code)
            number += 1

    with ThreadPoolExecutor(4) as pool:
        for worker in range(4):
            pool.submit(write, worker)
        until("there are some", lambda: len(written) >= 60, look_every=0.01)
        links.kill()
        stopped = True
    links.start()
    assert written <= set(codes(links))
    table = links.client("dynamodb").describe_table(TableName="links")["Table"]
    assert table["ItemCount"] == len(codes(links))
    item = client.get_item(TableName="links", Key={"code": {"S": "first"}})["Item"]
    assert item["clicks"] == {"N": "10"}


def test_grown_journals_are_folded_and_the_previous_snapshot_is_kept(links: Engine) -> None:
    links.functions = True  # for it folds in a process of its own
    module = links.folder / "stack/ministack/journal.py"
    module.write_text(re.sub(r"FOLD_FILES = \d+", "FOLD_FILES = 1", module.read_text()))
    for number in range(2):
        put(links, f"{number}")
        links.kill()
        links.start()
        until("there is a snapshot more", lambda: len(journal.files(links.tables, "snapshot")) == number + 1)  # noqa: B023
    before = codes(links)
    assert before == ["0", "1", "first"]
    links.kill()
    newest = journal.files(links.tables, "snapshot")[-1]
    newest.unlink()  # the one before it and the journals between say the same
    links.functions = False
    links.start()
    assert codes(links) == before


def test_a_torn_last_record_is_dropped_with_a_line(links: Engine) -> None:
    put(links, "second", "third")
    links.kill()
    newest = journal.files(links.tables, "journal")[-1]
    os.truncate(newest, newest.stat().st_size - 5)
    links.start()
    assert codes(links) == ["first", "second"]
    assert "was never answered" in links.log
    put(links, "fourth")
    links.kill()
    links.start()
    assert codes(links) == ["first", "fourth", "second"]


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def in_the_middle(engine: Engine) -> Path:
    path = journal.files(engine.tables, "journal")[0]
    flip(path, path.read_bytes().index(b'"second"'))
    return path


def in_the_snapshot(engine: Engine) -> Path:
    number = journal.number(journal.files(engine.tables, "journal")[-1])
    journal.fold(engine.tables, number, "1.5.33")
    path = journal.files(engine.tables, "snapshot")[-1]
    flip(path, path.read_bytes().index(b'"second"'))
    return path


def cut_snapshot(engine: Engine) -> Path:
    path = in_the_snapshot(engine)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-2]))
    return path


def missing_journal(engine: Engine) -> Path:
    first, second, *_ = journal.files(engine.tables, "journal")
    first.unlink()
    return second


def missing_newest_journal(engine: Engine) -> Path:
    journal.files(engine.tables, "journal")[-1].unlink()
    return engine.tables


def missing_tables(engine: Engine) -> Path:
    shutil.rmtree(engine.tables)
    return engine.tables


def missing_tables_of_an_older_state(engine: Engine) -> Path:
    (engine.state / "last-good/tables.noted").unlink()
    return missing_tables(engine)


def first_line(engine: Engine) -> Path:
    path = journal.files(engine.tables, "journal")[0]
    flip(path, 12)
    return path


def record_of_the_table(engine: Engine) -> Path:
    path = journal.files(engine.tables, "journal")[0]
    flip(path, path.read_bytes().index(b"KeySchema"))
    return path


def newer_format(engine: Engine) -> Path:
    path = journal.files(engine.tables, "journal")[-1]
    _, *lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(journal.encode(3, journal.dump({"format": 2, "engine": "1.5.33"})) + b"".join(lines))
    return path


def newer_engine(engine: Engine) -> Path:
    path = journal.files(engine.tables, "journal")[-1]
    _, *lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(journal.encode(3, journal.dump({"format": 1, "engine": "1.10.0"})) + b"".join(lines))
    return path


def garbled_service(engine: Engine) -> Path:
    path = engine.state / "iam.json"
    path.write_bytes(path.read_bytes()[:-20])
    return path


def empty_service(engine: Engine) -> Path:
    path = engine.state / "iam.json"
    path.write_bytes(b"")
    return path


def newer_service(engine: Engine) -> Path:
    path = engine.state / "iam.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "__ministack_format__": 99}))
    return path


def odd_service(engine: Engine) -> Path:
    path = engine.state / "lambda.json"
    path.write_text(json.dumps({"__ministack_format__": 2, "payload": {"functions": 5}}))
    return path


@pytest.mark.parametrize(
    ("damage", "left"),
    [
        (in_the_middle, ["first", "third"]),
        pytest.param(first_line, ["first", "second", "third"], marks=pytest.mark.search),
        pytest.param(record_of_the_table, ["first", "second", "third"], marks=pytest.mark.search),
        pytest.param(in_the_snapshot, ["first", "second", "third"], marks=pytest.mark.search),
        (cut_snapshot, ["first", "second", "third"]),
        (missing_journal, ["third"]),
        (missing_newest_journal, ["first", "second"]),
        (missing_tables, []),
        (missing_tables_of_an_older_state, None),
        (newer_format, ["first", "second"]),
        (newer_engine, ["first", "second"]),
        (garbled_service, ["first", "second", "third"]),
        pytest.param(empty_service, ["first", "second", "third"], marks=pytest.mark.search),
        (newer_service, ["first", "second", "third"]),
        (odd_service, ["first", "second", "third"]),
    ],
)
def test_state_that_cannot_be_read_stops_the_start_and_all_that_can_be_read_is_kept(
    stopped: Engine, damage: Callable[[Engine], Path], left: list[str] | None
) -> None:
    damaged = damage(stopped)
    damaged_is_a_file = damaged.is_file()
    before = contents(stopped.state)
    published = stopped.folder / "outputs/api_id"
    published.write_text("published by an engine that was killed\n")
    line = stopped.refused()
    assert not published.exists()
    assert str(damaged) in line
    assert "left untouched" in line
    assert "--wipe" in line
    (command,) = re.findall(r"the last good copy of the rest: (.*?)\. To forget", line)
    assert command.endswith("-m stack.ministack restore")
    assert before.items() <= contents(stopped.state).items()
    printed = stopped.restore()
    assert str(damaged) in printed
    stopped.start()
    if left is not None:
        assert codes(stopped) == left
    else:
        assert stopped.client("dynamodb").list_tables()["TableNames"] == []
    assert [role["RoleName"] for role in stopped.client("iam").list_roles()["Roles"]] == ["kept"]
    assert not damaged_is_a_file or any(path.name == damaged.name for path in stopped.state.glob("damaged-*/*"))


def test_items_outlive_the_record_of_their_table_without_any_stop(links: Engine) -> None:
    put(links, "second")
    links.kill()
    record_of_the_table(links)
    links.refused()
    links.restore()
    links.start()
    assert codes(links) == ["first", "second"]


def test_a_table_that_was_made_without_a_request_to_dynamodb_outlives_a_kill(own: Engine) -> None:
    own.start()
    table = {"Type": "AWS::DynamoDB::Table", "Properties": {**TABLE, "TableName": "made"}}
    own.client("cloudformation").create_stack(StackName="s", TemplateBody=json.dumps({"Resources": {"Made": table}}))
    until("it is written", lambda: b'"made"' in journal.files(own.tables, "journal")[-1].read_bytes())
    own.kill()
    own.start()
    assert own.client("dynamodb").list_tables()["TableNames"] == ["made"]


def test_a_restore_says_what_is_lost(stopped: Engine) -> None:
    in_the_middle(stopped)
    stopped.refused()
    printed = stopped.restore()
    assert "table links has 2 items, of at least 3" in printed
    assert "lost: record 3, with what no later record says" in printed
    assert "lost: a damaged record of journal-00000001: " in printed


def test_a_folder_that_cannot_be_written_to_stops_the_start(own: Engine) -> None:
    own.state.write_text("a file")
    assert str(own.state) in own.refused()
    assert own.state.read_text() == "a file"


def test_two_engines_do_not_share_their_state(links: Engine, tmp_path: Path) -> None:
    published = links.folder / "outputs/api_id"
    published.write_text("published\n")
    outputs = str(links.folder / "outputs")
    other = Engine.fresh(tmp_path / "other", functions=False, STATE_DIR=str(links.state), OUTPUTS_DIR=outputs)
    with contextlib.closing(other):
        assert "another engine is running" in other.refused()
    assert published.exists()
    put(links, "second")


def test_a_full_disk_refuses_writes_and_loses_nothing(links: Engine) -> None:
    put(links, "second")
    links.stop()
    links.start(largest_file=1500)
    client = links.client("dynamodb")
    written = ["first", "second"]
    with pytest.raises(botocore.exceptions.ClientError, match="nothing was written") as refused:  # noqa: PT012
        for number in range(50):
            put(links, f"more-{number}")
            written.append(f"more-{number}")
    assert refused.value.response["Error"]["Code"] == "LimitExceededException"
    with pytest.raises(botocore.exceptions.ClientError, match="nothing was written"):
        client.create_table(**{**TABLE, "TableName": "another"})
    assert client.list_tables()["TableNames"] == ["links"]
    assert codes(links) == sorted(written)
    assert links.log.count("error: nothing more can be written") == 1
    links.kill()
    links.start()
    assert codes(links) == sorted(written)
    put(links, "there is room again")


def test_a_transaction_that_was_refused_is_not_taken_for_done(links: Engine) -> None:
    links.stop()
    links.start(largest_file=4000)
    transaction = {
        "TransactItems": [{"Put": {"TableName": "links", "Item": {"code": {"S": "big"}, "text": {"S": "x" * 9000}}}}],
        "ClientRequestToken": "the-same",
    }
    for _ in range(2):
        with pytest.raises(botocore.exceptions.ClientError, match="nothing was written"):
            links.client("dynamodb").transact_write_items(**transaction)
    assert codes(links) == ["first"]


def test_a_reset_empties_the_journal(links: Engine) -> None:
    assert httpx.post(f"{links.url}/_ministack/reset", verify=TLS).status_code == 200
    links.client("dynamodb").create_table(**TABLE)
    put(links, "after")
    links.kill()
    assert not any(b"first" in data for data in contents(links.tables).values())
    links.start()
    assert codes(links) == ["after"]


def test_without_persistence_nothing_is_written(own: Engine) -> None:
    own.settings["PERSIST_STATE"] = "0"
    own.start()
    own.client("dynamodb").create_table(**TABLE)
    put(own, "first")
    own.stop()
    assert not own.state.exists()


def test_state_of_a_ministack_without_the_journal_is_taken_over(own: Engine) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "ministack"],
        env=own.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until("MiniStack answers", lambda: answers(own.url))
    own.client("dynamodb").create_table(**TABLE)
    put(own, "old")
    process.terminate()
    process.wait()
    assert (own.state / "dynamodb.json").exists()
    own.start()
    put(own, "new")
    own.kill()
    own.start()
    assert codes(own) == ["new", "old"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_a_stop_withdraws_the_outputs(own: Engine, number: int) -> None:
    own.start()
    for name in ("api_id", "api_url"):
        (own.folder / "outputs" / name).write_text("published\n")
    own.stop(number)
    assert [*(own.folder / "outputs").iterdir()] == []
    assert own.process
    assert own.process.returncode == 0
    assert "Traceback" not in own.log


def test_functions_whose_code_is_lost_are_failed_until_they_are_deployed_again(own: Engine) -> None:
    def source(name: str) -> str:
        return f"def handler(event, context): return '{name}'"

    own.functions = True
    own.start()
    for name in ("missing", "garbled", "kept"):
        own.function(name, source(name))
    own.stop()
    archives = {source(name): name for name in ("missing", "garbled", "kept")}
    for archive in (own.state / "lambda-blobs").glob("*.zip"):
        with zipfile.ZipFile(archive) as file:
            damage = archives.pop(file.read("handler.py").decode())
        if damage == "missing":
            archive.unlink()
        elif damage == "garbled":
            flip(archive, 40)
    assert not archives
    own.start()
    client = own.client("lambda")
    assert own.invoke("kept") == "kept"
    for name in ("missing", "garbled"):
        found = client.get_function(FunctionName=name)["Configuration"]
        assert found["State"] == "Failed"
        assert found["CodeSha256"] == ""
        assert f"the code of function {name} is lost" in own.log
        client.update_function_code(FunctionName=name, ZipFile=own.archive({"handler.py": source(name)}))
        own.wait_for(name, "updated")
        assert own.invoke(name) == name
    own.stop()
    own.start()
    for name in ("missing", "garbled", "kept"):
        assert own.invoke(name) == name
