"""Requests to APIs wait for their turn; nothing else does, and nobody waits for ever."""

import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from engine.bare import Engine, http
from project import until
from stack.ministack.gate import AT_ONCE, MOST

MANY = 3 * AT_ONCE

SLOW = """
import json, time
def handler(event, context):
    started = time.time()
    print(event["rawPath"])
    time.sleep(0.2)
    return {"statusCode": 200, "body": json.dumps(started)}
"""

# Asks the API for another path of itself before it answers.
NESTED = """
import os, urllib.request
def handler(event, context):
    if event["rawPath"].endswith("/inner"):
        return "inner"
    engine = "http://127.0.0.1:" + os.environ["GATEWAY_PORT"] + "/_aws/execute-api/"
    asked = urllib.request.urlopen(engine + event["requestContext"]["apiId"] + "/dev/inner")
    return asked.read().decode() + str("x-of-a-function" in event["headers"])
"""

# The same, past everything by which Python's own client could be known.
NESTED_UNKNOWN = """
import os, socket
def handler(event, context):
    if event["rawPath"].endswith("/inner"):
        return "inner"
    with socket.create_connection(("127.0.0.1", int(os.environ["GATEWAY_PORT"]))) as client:
        path = "/_aws/execute-api/" + event["requestContext"]["apiId"] + "/dev/inner"
        client.sendall(f"GET {path} HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n".encode())
        answer = b""
        while more := client.recv(1024):
            answer += more
    return answer.decode().rpartition("\\r\\n\\r\\n")[2]
"""


# Asks the API for a shallower path, and that one again; curl is not the function's own process.
DEEP = """
import os, subprocess, urllib.request
def handler(event, context):
    depth = int(event["rawPath"].rpartition("/")[2])
    if depth == 0:
        return "inner"
    engine = "http://127.0.0.1:" + os.environ["GATEWAY_PORT"] + "/_aws/execute-api/"
    url = engine + event["requestContext"]["apiId"] + "/dev/" + str(depth - 1)
    {asked}
"""
DEPTH = MOST // (2 * AT_ONCE) + 2  # more requests under way than are let in, however long they are stuck
ASKED = {
    "urllib": "return urllib.request.urlopen(url).read().decode()",
    "curl": "return subprocess.check_output(['curl', '--silent', '--noproxy', '*', url]).decode()",
}


@pytest.fixture(scope="module")
def slow(engine: Engine) -> str:
    """Return the URL of an API whose function takes its time."""
    engine.function("slow", SLOW)
    return engine.api("slow")


def test_requests_are_let_in_as_they_came_and_a_few_at_a_time(engine: Engine, slow: str) -> None:
    def ask(number: int) -> float:
        time.sleep(number * 0.01)  # so that they come in this order
        answer = client.get(f"{slow}/{number}")
        assert answer.status_code == 200
        started: float = answer.json()
        return started

    with http() as client, ThreadPoolExecutor(MANY) as pool:
        list(pool.map(lambda _: client.get(f"{slow}/first"), range(2 * AT_ONCE)))  # the start of a worker takes longer
        started = list(pool.map(ask, range(MANY)))
    order = sorted(range(MANY), key=lambda number: started[number])
    assert all(abs(place - number) < AT_ONCE for place, number in enumerate(order)), order
    most = max(sum(0 <= one - other < 0.2 for other in started) for one in started)
    assert most <= AT_ONCE + 2  # one more for each moment in which none was done


def test_aws_operations_do_not_wait(engine: Engine, slow: str) -> None:
    dynamodb = engine.client("dynamodb")
    with http() as client, ThreadPoolExecutor(MANY) as pool:
        requests = [pool.submit(client.get, f"{slow}/wait") for _ in range(MANY)]
        until("the queue is full", lambda: sum(request.running() for request in requests) == MANY)
        dynamodb.list_tables()
        assert not all(request.done() for request in requests)
        assert Counter(request.result().status_code for request in requests) == {200: MANY}


@pytest.mark.parametrize(
    ("name", "source", "answer"), [("nested", NESTED, "innerFalse"), ("unknown", NESTED_UNKNOWN, "inner")]
)
def test_a_function_that_asks_its_own_api_is_answered(engine: Engine, name: str, source: str, answer: str) -> None:
    engine.function(name, source)
    url = engine.api(name)
    with http() as client, ThreadPoolExecutor(2 * AT_ONCE) as pool:
        answers = list(pool.map(lambda _: client.get(f"{url}/outer"), range(2 * AT_ONCE)))
    assert Counter((one.status_code, one.text) for one in answers) == {(200, answer): len(answers)}


@pytest.mark.parametrize("through", [pytest.param("urllib", marks=pytest.mark.search), "curl"])
def test_many_functions_that_ask_deeply_are_all_answered(engine: Engine, through: str) -> None:
    engine.function(f"deep-{through}", DEEP.format(asked=ASKED[through]))
    url = engine.api(f"deep-{through}")
    with http() as client, ThreadPoolExecutor(2 * AT_ONCE) as pool:
        answers = list(pool.map(lambda _: client.get(f"{url}/{DEPTH}"), range(2 * AT_ONCE)))
    assert Counter((one.status_code, one.text) for one in answers) == {(200, "inner"): len(answers)}


def test_a_client_that_goes_away_is_not_waited_for(engine: Engine, slow: str, tmp_path: Path) -> None:
    address = urlsplit(slow)
    with http() as client, ThreadPoolExecutor(MANY) as pool:
        before = [pool.submit(client.get, f"{slow}/before") for _ in range(AT_ONCE)]
        time.sleep(0.1)  # they are under way
        leaving = [socket.create_connection((address.hostname, address.port)) for _ in range(MANY)]
        for connection in leaving:
            connection.sendall(f"GET {address.path}/gone HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        for connection in leaving:
            connection.close()
        assert client.get(f"{slow}/after").status_code == 200
        assert all(one.result().status_code == 200 for one in before)
    paths = Counter(lines[0].rpartition("/")[2] for lines in engine.logged("slow"))
    assert paths["after"] == 1
    assert paths["gone"] <= 2 * AT_ONCE, "they were served though nobody waited"


def test_a_connection_that_its_client_has_closed_is_closed(engine: Engine, slow: str) -> None:
    assert engine.process
    descriptors = Path(f"/proc/{engine.process.pid}/fd")
    address = urlsplit(slow)
    before = len([*descriptors.iterdir()])
    for request in (b"", f"HEAD {address.path}/one HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()):
        for _ in range(20):
            with socket.create_connection((address.hostname, address.port)) as connection:
                connection.sendall(request)
                assert not request or connection.recv(1024)
    until("they are closed", lambda: len([*descriptors.iterdir()]) < before + 10, patience=10)
