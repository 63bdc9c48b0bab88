"""Look at the stack: ``python3 -m stack.engine.health`` is the container's health check.

This module needs no boto3, so that the check starts fast, and not the definition, which may have a slip in it.
"""

import enum
import json
import os
import sys
import tempfile
import time
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from stack import http_client
from stack.outputs import API_ID_FILE, API_URL_FILE
from stack.settings import PROJECT

LOOK_EVERY = 0.1  # seconds, while the stack is being built
BUILD_TIMEOUT = 110  # seconds; just under the health check's timeout in docker-compose.yml
ASK_EVERY = 30  # seconds, once it is up
LAST_ANSWER = Path(tempfile.gettempdir(), "shortener-answered")
PREFLIGHT = {"Origin": "http://127.0.0.1", "Access-Control-Request-Method": "GET"}


class State(enum.Enum):
    """The state of the stack on an engine."""

    STARTING = "the engine does not answer yet"
    OTHER = "another program answers there, not an AWS engine"
    BUILDING = "the stack is being built"
    READY = "the API answers"
    FAILED = "the stack could not be built: the engine's log says why"


def look(engine_url: str, outputs: Path) -> State:
    """Return READY if the hooks have run and the gateway answers for the API that the outputs name.

    A look runs no function and counts no click. The build itself has proven the functions: it publishes
    the outputs only after a link was shortened and followed.
    """
    match _hooks_are_done(engine_url):
        case State() as state:
            return state
        case False:
            return State.BUILDING
    if not os.access(outputs, os.W_OK):  # then the files of an earlier build could not be removed
        return State.FAILED
    try:
        api_id = (outputs / API_ID_FILE).read_text().strip()
        path = urlsplit((outputs / API_URL_FILE).read_text().strip()).path
        return State.READY if api_id in path.split("/") and _api_answers(f"{engine_url}{path}") else State.FAILED
    except (OSError, ValueError):
        return State.FAILED


def _api_answers(base_url: str) -> bool:
    """Return whether the gateway has the API: its CORS configuration answers a preflight without any function.

    403 is an answer too, from an API that allows other origins; without the API it is 404.
    https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-cors.html
    """
    answer = http_client.request("OPTIONS", f"{base_url}/", headers=PREFLIGHT)
    return answer.status in (HTTPStatus.OK, HTTPStatus.NO_CONTENT, HTTPStatus.FORBIDDEN)


def wait(engine_url: str, outputs: Path, deadline: float) -> State:
    """Look until the stack is READY or FAILED, or ``time.monotonic()`` passes ``deadline``."""
    while (state := look(engine_url, outputs)) not in (State.READY, State.FAILED) and time.monotonic() < deadline:
        time.sleep(LOOK_EVERY)
    return state


def main() -> int:
    """Run the container's health check: return 0 once the API answers, 1 if the build failed or takes too long.

    Docker calls the check again as soon as it ends, so a check soon after a good one waits before it asks.
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


def _hooks_are_done(engine_url: str) -> bool | State:
    """Return whether all ready.d scripts have ended, or STARTING or OTHER if no engine answers."""
    try:
        answer = http_client.request("GET", f"{engine_url}/_localstack/init/ready")
        if answer.status == HTTPStatus.NOT_FOUND:  # not LocalStack, which would take the next one for a call to S3
            answer = http_client.request("GET", f"{engine_url}/_ministack/ready")
    except OSError:
        return State.STARTING
    try:
        match json.loads(answer.body):
            case {"status": str(status)}:  # MiniStack
                return status == "completed"
            case {"completed": bool(completed)}:  # LocalStack
                return completed
    except ValueError:
        pass
    return State.OTHER


if __name__ == "__main__":
    sys.exit(main())
