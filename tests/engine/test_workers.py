"""Functions' processes: what they print is under its own request, and no two of them share anything but code."""

import base64
import contextlib
import json
import os
import signal
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from engine.bare import Engine, http
from project import until
from stack.ministack.workers import AHEAD

LOADED = "loaded" * 20_000  # more than a pipe holds
PRINTS = r"""
import os, subprocess, sys, threading
print("loaded" * 20_000)
def handler(event, context):
    for number in range(event["lines"]):
        print(event["name"], number)
    print(event["name"], "on stderr", file=sys.stderr)
    thread = threading.Thread(target=print, args=(event["name"], "by a thread"))
    thread.start()
    thread.join()
    subprocess.run(["sh", "-c", "echo $0 by a child; echo $0 by a child on stderr >&2", event["name"]], check=True)
    os.write(2, b"\xff is no text\n")
    sys.stdout.write(event["name"] + " without an end")
    if event.get("raise"):
        raise ValueError("raised")
    if event.get("exit"):
        sys.stdout.flush()
        os._exit(3)
    return event["name"]
"""

WHO = """
import os, random, secrets, sys, time, uuid
import boto3
seen = []
def asks(client):
    key = client._request_signer._credentials.access_key
    return [client.meta.endpoint_url, client.meta.config.retries["mode"], key]
def handler(event, context):
    import botocore
    seen.append(event)
    boto3.changed = getattr(boto3, "changed", 0) + 1
    botocore.session.Session.SESSION_VARIABLES["changed"] = 1
    os.environ["CHANGED"] = os.environ.get("CHANGED", "") + "1"
    time.sleep(0.2)
    return {
        "pid": os.getpid(), "seen": len(seen), "changed": boto3.changed, "environment": os.environ["CHANGED"],
        "random": random.random(), "secret": secrets.token_hex(), "uuid": str(uuid.uuid4()), "time": time.time(),
        "path": sys.path[:2], "folder": os.getcwd(), "argv": sys.argv, "main": sys.modules["__main__"].__file__,
        "names": sorted(name for name in os.environ), "zone": time.tzname[0], "boto3": boto3.__file__,
        "modules": [name for name in ("stack", "ministack", "gate", "names") if name in sys.modules],
        "input": sys.stdin.fileno() != 0 and os.read(0, 10).decode(), "parent": os.getppid(),
        "asks": asks(boto3.client("dynamodb")),
    }
"""


def names_of(event: dict[str, object], first: bool) -> list[str]:
    name = event["name"]
    return ([LOADED] if first else []) + [
        *(f"{name} {number}" for number in range(int(str(event["lines"])))),
        f"{name} on stderr",
        f"{name} by a thread",
        f"{name} by a child",
        f"{name} by a child on stderr",
        "\ufffd is no text",
        f"{name} without an end",
    ]


ASKS_AGAIN = """
import os, pathlib, time
import boto3
from botocore.config import Config
client = boto3.client("dynamodb", config=Config(retries={"max_attempts": 0}))
def handler(event, context):
    pathlib.Path(os.environ["STARTED"]).touch()
    time.sleep(0.5)
    while True:
        try:
            client.put_item(TableName="counts", Item={"name": {"S": "again"}})
        except Exception:
            time.sleep(0.1)
"""


def ended(pids: Iterable[int]) -> bool:
    """Return whether none of these processes is there any more."""
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_workers_of_a_killed_engine_end_and_ask_the_next_one_for_nothing(own: Engine) -> None:
    own.start()
    own.client("dynamodb").create_table(
        TableName="counts",
        KeySchema=[{"AttributeName": "name", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "name", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    own.function("again", ASKS_AGAIN, Environment={"Variables": {"STARTED": str(own.folder / "started")}})
    own.function("idle", "def handler(event, context): return 1")
    own.client("lambda").invoke(FunctionName="again", InvocationType="Event")
    assert own.invoke("idle") == 1
    until("the function runs", (own.folder / "started").exists)
    pids = own.children()
    assert len(pids) == 3
    own.kill()
    own.start()
    until("the first engine's processes have ended", lambda: ended(pids))
    assert own.client("dynamodb").scan(TableName="counts")["Items"] == []


def test_every_line_is_under_its_own_request(engine: Engine) -> None:
    engine.function("prints", PRINTS)
    events: list[dict[str, object]] = [
        {"name": f"request-{number}", "lines": (0, 1, 9_000)[number % 3]} for number in range(12)
    ]
    for event in events:
        assert engine.invoke("prints", event) == event["name"]
    assert sorted(engine.logged("prints")) == sorted(names_of(event, event is events[0]) for event in events)


@pytest.mark.parametrize("end", ["raise", "exit"])
def test_the_last_lines_of_a_function_that_fails_are_logged(engine: Engine, end: str) -> None:
    engine.function(end, PRINTS)
    event = {"name": "last", "lines": 100, end: True}
    assert "errorMessage" in engine.invoke(end, event)
    assert engine.invoke(end, {"name": "next", "lines": 1}) == "next"
    wanted = [names_of(event, True), names_of({"name": "next", "lines": 1}, True)]
    for lines in engine.logged(end):  # of a failure, what was raised is logged after them
        assert lines[: len(wanted[0])] == wanted[0] or lines == wanted[1]


def test_lines_of_requests_at_once_are_not_mixed_up(engine: Engine) -> None:
    engine.function("crowd", PRINTS)
    events: list[dict[str, object]] = [{"name": f"request-{number}", "lines": 50} for number in range(24)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda event: engine.invoke("crowd", event), events))
    logged = [[line for line in lines if line != LOADED] for lines in engine.logged("crowd")]
    assert sorted(logged) == sorted(names_of(event, False) for event in events)


def test_the_logs_and_metrics_of_the_last_invocations_alone_are_kept(own: Engine) -> None:
    own.start()
    own.function("often", "def handler(event, context): print(event)")
    with http() as client:
        for number in range(510):
            client.post(f"{own.url}/2015-03-31/functions/often/invocations", json=number).raise_for_status()
    streams = own.client("logs").get_paginator("describe_log_streams")
    asked = {
        "Namespace": "AWS/Lambda",
        "MetricName": "Invocations",
        "Dimensions": [{"Name": "FunctionName", "Value": "often"}],
        "StartTime": datetime.now(UTC) - timedelta(hours=1),
        "EndTime": datetime.now(UTC) + timedelta(hours=1),
        "Period": 86400,
        "Statistics": ["SampleCount"],
    }

    def logs() -> int:
        return sum(len(page["logStreams"]) for page in streams.paginate(logGroupName="/aws/lambda/often"))

    def points() -> int:
        found = own.client("cloudwatch").get_metric_statistics(**asked)["Datapoints"]
        return sum(int(point["SampleCount"]) for point in found)

    until("the early ones are forgotten", lambda: (logs(), points()) == (500, 500))
    pages = own.client("logs").get_paginator("filter_log_events").paginate(logGroupName="/aws/lambda/often")
    kept = {event["message"] for page in pages for event in page["events"]}
    assert [number for number in range(510) if str(number) in kept] == [*range(10, 510)]


def test_workers_share_nothing_that_one_of_them_changed(engine: Engine) -> None:
    own = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_RETRY_MODE": "adaptive"}
    engine.function("who", WHO, Environment={"Variables": {"OWN": "1", "TZ": "XYZ-3", **own}})
    engine.function("other", WHO)
    with ThreadPoolExecutor(4) as pool:
        one = list(pool.map(lambda _: engine.invoke("who", {}), range(4)))
    other = engine.invoke("other", {})
    assert len({answer["pid"] for answer in [*one, other]}) == 5
    for answer in [*one, other]:
        assert (answer["seen"], answer["changed"], answer["environment"]) == (1, 1, "1")
        assert answer["modules"] == []
        assert answer["argv"] == [answer["main"]]
        assert answer["path"][0] == answer["folder"]
        assert not any("stack/ministack" in path for path in answer["path"])
        assert "_END_MARK" not in answer["names"]
        assert "PYTHONPATH" not in answer["names"]
        assert answer["input"] == ""
    for kind in ("random", "secret", "uuid"):
        assert len({answer[kind] for answer in [*one, other]}) == 5
    assert {answer["zone"] for answer in one} == {"XYZ"}
    assert other["zone"] != "XYZ"
    assert [answer["asks"] for answer in one] == [[*own.values(), "000000000000"]] * 4
    assert other["asks"] == [engine.url, "legacy", "000000000000"]
    assert "OWN" not in other["names"]
    assert len({answer["parent"] for answer in [*one, other]}) == 1  # they are forked


@pytest.mark.parametrize(
    ("name", "files", "variables"),
    [
        ("bundled", {"boto3/__init__.py": "bundled = True"}, {}),
        ("optimized", {}, {"PYTHONOPTIMIZE": "1"}),
        ("models", {"models/own/2020-01-01/service-2.json": '{"metadata": {}}'}, {"AWS_DATA_PATH": "models"}),
    ],
)
def test_a_function_that_would_notice_the_fork_gets_a_python_of_its_own(
    engine: Engine, name: str, files: dict[str, str], variables: dict[str, str]
) -> None:
    source = """import boto3, sys
def handler(event, context):
    if hasattr(boto3, "bundled"):
        return "bundled"
    if sys.flags.optimize:
        return "optimized"
    session = boto3.DEFAULT_SESSION or boto3.Session()
    return "models" if "own" in session.get_available_services() else "nothing"
"""
    engine.function(name, source, files=files, Environment={"Variables": variables})
    assert engine.invoke(name) == name


def test_a_function_is_loaded_again_after_its_code_changed(engine: Engine) -> None:
    engine.function("edited", "def handler(event, context): return 1")
    assert engine.invoke("edited") == 1
    client = engine.client("lambda")
    archive = engine.archive({"handler.py": "def handler(event, context): return 2"})
    client.update_function_code(FunctionName="edited", ZipFile=archive)
    until("the edit is live", lambda: engine.invoke("edited") == 2)


def test_an_update_ends_no_request_and_those_after_it_run_the_new_code(engine: Engine) -> None:
    def source(version: int) -> str:
        return f"""import os, time
def handler(event, context):
    time.sleep(0.05)
    return {{"statusCode": 200, "body": "{version} " + os.environ.get("VERSION", "0")}}
"""

    engine.function("busy", source(0))
    url = engine.api("busy")
    client = engine.client("lambda")
    updated = 0
    answers: list[tuple[int, int, str]] = []
    over = threading.Event()

    def ask() -> None:
        with http() as browser:
            while not over.is_set():
                before = updated
                answer = browser.get(url)
                answers.append((before, answer.status_code, answer.text))

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask) for _ in range(4)]
        try:
            for version in range(1, 4):
                archive = engine.archive({"handler.py": source(version)})
                client.update_function_code(FunctionName="busy", ZipFile=archive)
                engine.wait_for("busy", "updated")
                variables = {"Variables": {"VERSION": str(version)}}
                client.update_function_configuration(FunctionName="busy", Environment=variables)
                engine.wait_for("busy", "updated")
                updated = version
                until("it is asked again", lambda: answers[-1][0] == version)  # noqa: B023
        finally:
            over.set()
        for one in asking:
            one.result()
    assert {status for _, status, _ in answers} == {200}
    old = [answer for answer in answers if min(map(int, answer[2].split())) < answer[0]]
    assert not old

    def workers() -> int:
        folders = []
        for pid in engine.children():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
                folders.append(Path(f"/proc/{pid}/cwd").readlink().parent.name)
        return sum("-busy-" in folder for folder in folders)

    until("the old workers have ended", lambda: workers() <= 4)


def test_a_retry_of_before_an_update_leaves_no_old_worker(engine: Engine) -> None:
    source = """import os
def handler(event, context):
    assert event != "fail"
    return os.environ["VERSION"]
"""
    engine.function("retried", source, Environment={"Variables": {"VERSION": "old"}})
    assert engine.invoke("retried") == "old"
    client = engine.client("lambda")
    client.invoke(FunctionName="retried", InvocationType="Event", Payload=b'"fail"')
    until("it has failed", lambda: len(engine.logged("retried")) == 2)
    client.update_function_configuration(FunctionName="retried", Environment={"Variables": {"VERSION": "new"}})
    engine.wait_for("retried", "updated")
    until("it was tried again, as it was", lambda: len(engine.logged("retried")) == 3)
    assert engine.invoke("retried") == "new"
    assert engine.invoke("retried") == "new"


def test_a_function_that_cannot_be_loaded_harms_no_other(own: Engine) -> None:
    own.start()
    own.function("broken", "import no_such_module")
    own.function("other", "import time\ndef handler(event, context): return not time.sleep(0.1)")
    templates = own.direct_children()
    over = threading.Event()

    def ask() -> list[object]:
        answers = []
        while not over.is_set():
            answers.append(own.invoke("other"))
        return answers

    with ThreadPoolExecutor(8) as pool:
        asking = [pool.submit(ask) for _ in range(4)]
        failed = list(pool.map(lambda _: own.invoke("broken"), range(24)))
        over.set()
        answers = [answer for one in asking for answer in one.result()]
    assert all("no_such_module" in answer["errorMessage"] for answer in failed)
    assert {*answers} == {True}
    assert own.direct_children() == templates
    assert "Traceback" not in own.log


def test_a_process_that_does_not_read_is_ended_when_its_time_is_over(engine: Engine) -> None:
    source = """import os, signal, threading
def handler(event, context):
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGSTOP)).start()
    return os.getpid()
"""
    engine.function("stopped", source, Timeout=1)
    pid = engine.invoke("stopped")
    until("it is stopped", lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")
    assert "timed out" in engine.invoke("stopped", "x" * 200_000)["errorMessage"]  # more than a pipe holds


def test_the_middle_of_a_very_long_log_is_left_out(engine: Engine) -> None:
    source = "def handler(event, context):\n for n in range(30): print(f'{n} '.ljust(100_000, '.'))"
    engine.function("talks", source)
    assert engine.invoke("talks") is None
    (lines,) = engine.logged("talks")
    assert [line.partition(" ")[0] for line in (lines[0], lines[1], lines[-1])] == ["0", "1", "29"]
    assert sum("left out" in line for line in lines) == 1
    assert sum(map(len, lines)) < 2_000_000


def test_the_process_that_forks_functions_is_left_alone_by_failures_and_replaced_when_it_is_killed(own: Engine) -> None:
    own.start()
    own.function("fails", "def handler(event, context): raise ValueError('failed')")
    (template,) = own.direct_children()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: own.invoke("fails"), range(24)))
    assert {answer["errorMessage"] for answer in answers} == {"failed"}
    assert own.direct_children() == {template}
    assert "WARNING" not in own.log
    os.kill(template, signal.SIGKILL)
    for name in ("second", "third"):
        own.function(name, "def handler(event, context): return 2")
        assert own.invoke(name) == 2
    lines = own.children()
    (other,) = [pid for pid in own.direct_children() if "function.py template" in lines.get(pid, "")]
    assert other != template


@pytest.mark.parametrize(
    ("name", "goes_on"), [("silent", "time.sleep(60)"), ("prints-on", "while True: os.write(1, b'on')")]
)
def test_a_timed_out_function_is_ended(engine: Engine, name: str, goes_on: str) -> None:
    source = f"import os, time\ndef handler(event, context):\n print(os.getpid(), flush=True)\n {goes_on}"
    engine.function(name, source, Timeout=1)
    assert "timed out" in json.dumps(engine.invoke(name))
    ((pid, *_),) = engine.logged(name)
    until("the worker has ended", lambda: int(pid) not in engine.children())


def start_with_a_function(engine: Engine, source: str) -> None:
    """Start the engine with a hook that makes a function, and calls it."""
    hook = engine.folder / "init/ready.d/01.py"
    hook.parent.mkdir(parents=True)
    hook.write_text(
        "import base64, boto3, os\n"
        "client = boto3.client('lambda', endpoint_url='http://127.0.0.1:' + os.environ['GATEWAY_PORT'])\n"
        f"code = base64.b64decode({base64.b64encode(engine.archive({'handler.py': source}))!r})\n"
        "client.create_function(FunctionName='f', Runtime='python3.12', Role='arn:aws:iam::000000000000:role/r',"
        " Handler='handler.handler', Code={'ZipFile': code})\n"
        "client.get_waiter('function_active_v2').wait(FunctionName='f', WaiterConfig={'Delay': 0.05})\n"
        "client.invoke(FunctionName='f', Payload=b'{}')\n"
    )
    engine.start()


def test_workers_are_started_ahead_once_the_stack_is_up_and_end_with_the_engine(own: Engine) -> None:
    start_with_a_function(own, WHO)
    until("the workers are there", lambda: len(own.children()) == AHEAD + 1)
    with http() as client, ThreadPoolExecutor(AHEAD) as pool:
        assert client.get(f"{own.url}/_ministack/ready").json()["failed"] == 0
        pids = set(pool.map(lambda _: own.invoke("f", {})["pid"], range(AHEAD)))
    processes = own.children()
    assert pids <= processes.keys()
    assert len(processes) == AHEAD + 1
    own.stop()
    until("they have ended", lambda: ended(processes))


def test_a_stop_that_comes_while_workers_are_started_ahead_starts_nothing_more(own: Engine) -> None:
    start_with_a_function(own, "import time\ntime.sleep(0.5)\ndef handler(event, context): return 1")
    until("a second worker is being started", lambda: " ".join(own.children().values()).count("py template") == 3)
    (template,) = own.direct_children()
    assert own.process
    own.process.terminate()
    seen = set()
    while own.process.poll() is None:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ends
            seen |= own.direct_children()
    assert seen <= {template}
    assert own.process.returncode == 0
    assert "WARNING" not in own.log
