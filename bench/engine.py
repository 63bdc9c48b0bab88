"""The engine: bursts, kills, large tables and workers, embedded and in Docker where a Docker engine answers."""

import contextlib
import itertools
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from http.client import HTTPConnection
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit

from bench.load import LINK, TIMEOUT, TUTORIAL, Shot, Times, deploy_references, fire
from bench.setting import Failed, Rows, Setting, say
from containers import Containers
from engine.bare import Engine, below
from project import Project
from stack.ministack import journal

LINKS, CLICKS, ACKNOWLEDGED = 1_000_000, 100_000, 100
COLD_STARTS = 10
WRITERS = 4
TABLE = {
    "TableName": "links",
    "KeySchema": [{"AttributeName": "code", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "code", "AttributeType": "S"}],
    "BillingMode": "PAY_PER_REQUEST",
}
WITH_BOTO3 = """
import time
import boto3
client = boto3.client("dynamodb")
def handler(event, context):
    time.sleep(event["seconds"])
"""
NO_RANGE = "__no_sort__"  # MiniStack's filler where a table has no range key
REDIRECT = "redirect, 1 connection, p50"


def measure_engine(setting: Setting) -> Rows:
    """Return a row for each property, with what was measured on each engine."""
    with tempfile.TemporaryDirectory() as folder:
        measured = {"embedded": dict(_of_a_stack(Project.copy(_new(folder))))}
        if subprocess.run(["docker", "version"], capture_output=True).returncode == 0:
            measured["Docker"] = dict(_of_a_stack(Containers.fresh(_new(folder))))
        p50 = float(measured["embedded"][REDIRECT].split()[0])
        for measure in (_of_workers, _of_large_tables):
            measured["embedded"] |= measure(_new(folder), setting, p50)
    return [
        {"what": what, **{engine: figures.get(what, "-") for engine, figures in measured.items()}}
        for what in measured["embedded"]
    ]


def _new(folder: str) -> Path:
    return Path(tempfile.mkdtemp(dir=folder))


def _of_a_stack(project: Project) -> Iterator[tuple[str, str]]:
    """Measure what a client sees of a stack that has just started, and of one that is killed."""

    def restart() -> Shot:
        project.down()
        stack = project.up()
        return Shot("GET /r/{code}", "GET", f"{stack.url}/r/{LINK['code']}", 302)

    try:
        project.up().shorten(LINK)
        for count in (32, 300):
            say(f"{count} at once")
            times = Times()
            fire(restart(), count, count, times)
            memory = _memory(project)
            yield (
                f"the first {count} at once",
                f"{times.seconds:.2f} s, {count - times.wrong} are 302, {memory / 2**20:.0f} MiB",
            )
        say("from cold")
        shot, times = restart(), Times()
        fire(shot, 8, 400, times)
        yield "8 connections from cold, p50 and p99", f"{times.percentile(50):.1f} ms, {times.percentile(99):.1f} ms"
        yield REDIRECT, f"{_alone(shot, 600):.2f} ms"
        say("a kill")
        stack = project.stack
        with stack.http(headers={"Authorization": f"Bearer {stack.token()}"}) as client:
            for number in range(ACKNOWLEDGED):
                body = {"long_url": LINK["long_url"], "code": f"kept-{number}"}
                client.post("/shorten", json=body).raise_for_status()
        project.kill_container() if isinstance(project, Containers) else project.kill()
        stack = project.up()
        lost = sum(stack.row(f"kept-{number}") is None for number in range(ACKNOWLEDGED))
        yield f"links lost of {ACKNOWLEDGED} at kill -9, docker kill", str(lost)
    finally:
        project.discard()


def _alone(shot: Shot, count: int) -> float:
    """Return the median in milliseconds over one connection, by a client that takes little time itself: not httpx."""
    address = urlsplit(shot.url)
    connection = HTTPConnection(address.netloc, timeout=TIMEOUT)
    milliseconds = []
    for _ in range(count):
        started = time.perf_counter()
        connection.request(shot.method, address.path)
        answer = connection.getresponse()
        answer.read()
        milliseconds.append((time.perf_counter() - started) * 1000)
        if answer.status != shot.status:
            raise Failed(f"an answer to {shot.name} was {answer.status}, not {shot.status}")
    connection.close()
    return statistics.median(milliseconds)


def _memory(project: Project) -> int:
    """Return the bytes that the engine and its workers have for themselves, shared ones in parts."""
    pid = int(project.inspect("{{.State.Pid}}")) if isinstance(project, Containers) else project.pid()
    return sum(_kibibytes(one, "Pss") for one in (pid, *below(pid))) * 1024


def _kibibytes(pid: int, *kinds: str) -> int:
    with contextlib.suppress(OSError):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.partition(":")[0] in kinds)
    return 0


def _of_workers(folder: Path, setting: Setting, p50: float) -> Iterator[tuple[str, str]]:
    """Measure functions on an engine alone, with the tutorial's beside it on a plain one."""
    engine = Engine.fresh(folder).start()
    try:
        medians = []
        for url in (engine.url, setting.plain_engine):
            shot = Shot(TUTORIAL, "GET", f"{deploy_references(url)}/{TUTORIAL}/{LINK['code']}", 302)
            _alone(shot, 20)  # to warm up
            medians.append(_alone(shot, 200))
        yield "the tutorial's silent handler, 1 connection, p50", f"{medians[0]:.2f} ms"
        yield "the same on plain MiniStack", f"{medians[1]:.1f} ms, {medians[1] / p50:.1f} times the redirect's"
        say("cold starts")
        engine.function("cold", WITH_BOTO3)
        client = engine.client("lambda")
        seconds: dict[str, list[float]] = {"cold": [], "warm": []}
        for number in range(COLD_STARTS):
            client.update_function_configuration(FunctionName="cold", Environment={"Variables": {"N": str(number)}})
            client.get_waiter("function_updated_v2").wait(FunctionName="cold", WaiterConfig={"Delay": 1})
            for kind in seconds:
                started = time.perf_counter()
                engine.invoke("cold", {"seconds": 0})
                seconds[kind].append(time.perf_counter() - started)
        cold = statistics.median(seconds["cold"]) - statistics.median(seconds["warm"])
        yield "cold start of a function with boto3", f"{cold * 1000:.0f} ms"
        with ThreadPoolExecutor(8) as pool:
            asked = [pool.submit(engine.invoke, "cold", {"seconds": 2}) for _ in range(8)]
            time.sleep(1)
            workers = [pid for pid in engine.children() if pid not in engine.direct_children()]
            sizes = [_kibibytes(pid, "Private_Clean", "Private_Dirty") for pid in workers]
            for one in asked:
                one.result()
        yield "memory of one more worker", f"{statistics.median(sizes) / 1024:.1f} MiB"
    finally:
        engine.stop()


def _of_large_tables(folder: Path, setting: Setting, p50: float) -> Iterator[tuple[str, str]]:
    """Measure starts and stops of an engine alone with a large table, and what the journal takes."""
    share = 100 if setting.quick else 1
    release = metadata.version("ministack")
    engine = Engine.fresh(folder).start()
    try:
        engine.client("dynamodb").create_table(**TABLE)
        engine.client("dynamodb").put_item(TableName="links", Item={"code": {"S": "one"}, "clicks": {"N": "0"}})
        say(f"{CLICKS // share} clicks")
        with ThreadPoolExecutor(WRITERS) as pool:
            list(pool.map(_click, [engine.port] * WRITERS, [CLICKS // share // WRITERS] * WRITERS))
        engine.kill()
        yield f"start after {CLICKS // share:,} clicks and a kill", f"{_timed(engine.start):.1f} s"
        engine.stop()
        say(f"{LINKS // share} links")
        upto = journal.number(journal.files(engine.tables, "journal")[-1])
        sequence = json.loads((engine.state / "last-good/tables.noted").read_bytes())["sequence"]
        journal.fold(engine.tables, upto, release)
        snapshot = journal.files(engine.tables, "snapshot")[-1]
        entries = [payload for _, payload in journal.read(snapshot, release, 0) if payload.startswith(b'["s"')]
        items = (
            journal.dump(["i", "000000000000", "us-east-1", "links", f"c{number}", NO_RANGE, _link(f"c{number}")])
            for number in range(LINKS // share)
        )
        journal.write_snapshot(engine.tables, upto, release, sequence, itertools.chain(entries, items))
        started = _timed(engine.start)
        count = engine.client("dynamodb").describe_table(TableName="links")["Table"]["ItemCount"]
        engine.client("dynamodb").put_item(TableName="links", Item=_link("new"))
        stopped = _timed(engine.stop)
        yield f"{count:,} links: stop, start", f"{stopped:.1f} s, {started:.1f} s"
    finally:
        engine.stop()
    kept = journal.Journal(folder / "alone", release, say)
    kept.lock()
    kept.load(lambda *_: None, 0)
    change = ["i", "000000000000", "us-east-1", "links", "one", NO_RANGE, _link("one")]
    appends = sorted(_timed(lambda: kept.append([change])) for _ in range(10_000))
    price = statistics.median(appends) * 1000
    yield "the journal's part of a redirect", f"{price * 1000:.0f} µs, {100 * price / p50:.1f} %"


def _link(code: str) -> dict[str, dict[str, str]]:
    url = f"https://example.com/{code}/{'x' * 40}"
    return {"code": {"S": code}, "long_url": {"S": url}, "owner_id": {"S": "user-1"}, "click_count": {"N": "0"}}


def _click(port: int, count: int) -> None:
    connection = HTTPConnection("127.0.0.1", port)
    headers = {
        "X-Amz-Target": "DynamoDB_20120810.UpdateItem",
        "Content-Type": "application/x-amz-json-1.0",
        "Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/dynamodb/aws4_request",
    }
    update = {
        "TableName": "links",
        "Key": {"code": {"S": "one"}},
        "UpdateExpression": "ADD clicks :one",
        "ExpressionAttributeValues": {":one": {"N": "1"}},
    }
    body = json.dumps(update)
    for _ in range(count):
        connection.request("POST", "/", body, headers)
        answer = connection.getresponse()
        body_of_answer = answer.read()
        if answer.status != HTTPStatus.OK:
            raise Failed(f"a click was answered with {answer.status}: {body_of_answer!r}")
    connection.close()


def _timed(do: Callable[[], object]) -> float:
    started = time.perf_counter()
    do()
    return time.perf_counter() - started
