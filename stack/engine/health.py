"""Whether the stack is up: ``python3 -m stack.engine.health`` is the container's health check.

It needs no boto3, so that it starts fast.
"""

import enum
import json
import os
import sys
import tempfile
import time
from http import HTTPStatus
from pathlib import Path

from stack import http_client
from stack.definition import DEFINITION
from stack.outputs import API_ID_FILE
from stack.settings import PROJECT

LOOK_EVERY = 0.1  # seconds, while the stack is being built
BUILD_TIMEOUT = 110  # seconds; just under the health check's timeout in docker-compose.yml
ASK_EVERY = 30  # seconds, once it is up
LAST_ANSWER = Path(tempfile.gettempdir(), "shortener-answered")
NO_LINK = "-"  # a code that nobody is likely to have


class State(enum.Enum):
    """What a look at the engine finds."""

    STARTING = "the engine does not answer yet"
    BUILDING = "the stack is being built"
    READY = "the API answers"
    FAILED = "the stack could not be built: the engine's log says why"


def look(engine_url: str, outputs: Path) -> State:
    """READY if the hooks have run and the API whose ID the outputs name answers."""
    match _hooks_are_done(engine_url):
        case None:
            return State.STARTING
        case False:
            return State.BUILDING
    if not os.access(outputs, os.W_OK):  # then nobody could withdraw what is there from an earlier build
        return State.FAILED
    try:
        api_id = (outputs / API_ID_FILE).read_text().strip()
        answer = http_client.request("GET", f"{engine_url}/_aws/execute-api/{api_id}/{DEFINITION.stage}/r/{NO_LINK}")
    except OSError:
        return State.FAILED
    right = answer.status in (HTTPStatus.FOUND, HTTPStatus.NOT_FOUND) and not answer.by_gateway
    return State.READY if right else State.FAILED


def wait(engine_url: str, outputs: Path, deadline: float) -> State:
    """Look until the stack is READY or FAILED, or ``time.monotonic()`` passes ``deadline``."""
    while (state := look(engine_url, outputs)) not in (State.READY, State.FAILED) and time.monotonic() < deadline:
        time.sleep(LOOK_EVERY)
    return state


def main() -> int:
    """The container's health check: 0 once the API answers, 1 if the build failed or takes too long.

    Docker calls it again as soon as it ends. As long as it knows that the API answered a short
    while ago, it waits before it asks again: every question is a request in the engine's log.
    """
    engine_url = f"http://127.0.0.1:{os.environ.get('GATEWAY_PORT') or 4566}"
    outputs = PROJECT / (os.environ.get("OUTPUTS_DIR") or "outputs")
    _rest(outputs)
    state = wait(engine_url, outputs, time.monotonic() + BUILD_TIMEOUT)
    print(state.value)
    if state is not State.READY:
        return 1
    LAST_ANSWER.touch()
    return 0


def _rest(outputs: Path) -> None:
    try:
        answered = LAST_ANSWER.stat().st_mtime
        if answered > (outputs / API_ID_FILE).stat().st_mtime:
            time.sleep(min(max(answered + ASK_EVERY - time.time(), 0), ASK_EVERY))
    except FileNotFoundError:
        pass  # it has not answered, or was built again since


def _hooks_are_done(engine_url: str) -> bool | None:
    """Whether all ready.d scripts have ended, which each engine reports in a way of its own; None: it does not yet."""
    try:
        answer = http_client.request("GET", f"{engine_url}/_ministack/ready")
        if answer.status == HTTPStatus.NOT_FOUND:
            answer = http_client.request("GET", f"{engine_url}/_localstack/init/ready")
        report = json.loads(answer.body)
    except (OSError, ValueError):
        return None
    return report.get("status") == "completed" or report.get("completed") is True


if __name__ == "__main__":
    sys.exit(main())
