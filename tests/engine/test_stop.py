"""A stop answers the requests under way, and waits for no function that does not end."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from engine.bare import Engine, http
from project import until
from stack.ministack.gate import FEW

MANY = 10 * FEW
# Asks the engine for something after a while, on a connection of its own.
LATE = """
import time
import boto3
def handler(event, context):
    print("under way")
    time.sleep(0.5)
    boto3.client("dynamodb").list_tables()
    return "answered"
"""
ENDLESS = """
import time
def handler(event, context):
    print("under way", flush=True)
    time.sleep(600)
"""


def test_requests_under_way_are_answered_and_those_that_wait_are_refused(own: Engine) -> None:
    own.start()
    own.function("late", LATE)
    url = own.api("late")
    with http() as client, ThreadPoolExecutor(MANY + 1) as pool:
        answers = [pool.submit(client.get, url) for _ in range(MANY)]
        until("one is answered, and others are under way", lambda: any(one.done() for one in answers))
        invoked = pool.submit(own.invoke, "late")
        until("it is invoked past the queue", lambda: invoked.running() and len(own.children()) > FEW + 1)
        own.stop()
        assert invoked.result() == "answered"
        found = Counter((one.result().status_code, one.result().text) for one in answers)
    refused = (503, '{"message": "Service Unavailable"}')
    assert {*found} == {(200, "answered"), refused}
    assert found[refused] > 0
    assert own.process
    assert own.process.returncode == 0
    assert "Traceback" not in own.log


def test_an_invocation_of_a_function_that_was_updated_meanwhile_is_waited_for(own: Engine) -> None:
    source = """import pathlib, time
def handler(event, context):
    pathlib.Path(event, "started").touch()
    time.sleep(1.5)
    pathlib.Path(event, "ended").touch()
"""
    own.start()
    own.function("updated", source)
    client = own.client("lambda")
    client.invoke(FunctionName="updated", InvocationType="Event", Payload=json.dumps(str(own.folder)))
    until("it is under way", (own.folder / "started").exists)
    client.update_function_code(FunctionName="updated", ZipFile=own.archive({"handler.py": f"{source}# new"}))
    own.stop()
    assert (own.folder / "ended").exists()


@pytest.mark.parametrize("variables", [{}, {"PYTHONHASHSEED": "1"}], ids=["forked", "started anew"])
def test_a_function_that_does_not_end_holds_up_no_stop(own: Engine, variables: dict[str, str]) -> None:
    own.start()
    own.function("endless", ENDLESS, Timeout=900, Environment={"Variables": variables})
    url = own.api("endless")
    with http() as client, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(client.get, url, timeout=900)
        until("it is under way", lambda: len(own.children()) > 1)
        processes = own.children()
        own.stop()  # which fails after a minute
        assert isinstance(answer.exception(), httpx.HTTPError) or answer.result().status_code >= 500
    assert own.process
    assert own.process.returncode == 0
    until("its process has ended", lambda: not any(Path(f"/proc/{pid}").exists() for pid in processes))
