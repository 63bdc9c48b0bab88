"""What else runs on this machine: who has the port, and whose outputs are in the folder."""

import socket
from http import HTTPStatus

from stack import http_client, outputs
from stack.errors import DeployError
from stack.settings import Settings

CONNECT_TIMEOUT = 1  # seconds


def listens(port: int) -> bool:
    """Return True if something listens on the port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(CONNECT_TIMEOUT)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def check_port(port: int) -> None:
    """Raise DeployError, with a way out, if the port cannot be listened on."""
    reason = None
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            reason = error.strerror
    if reason is None and listens(port):  # macOS lets the same port be bound on another address
        reason = "Address already in use"
    if reason is not None:
        raise DeployError(
            f"port {port} cannot be used ({reason}): stop what uses it, "
            f"or take another: HOST_PORT={port % 65535 + 1} scripts/up.sh"
        )


def check_outputs(settings: Settings) -> None:
    """Raise DeployError if OUTPUTS_DIR has the URL of a stack on another port that is up."""
    port = outputs.published_port(settings.outputs)
    if port is None or port == settings.host_port:
        return
    try:
        answer = http_client.request("GET", f"http://127.0.0.1:{port}/_localstack/health")
    except OSError:
        return
    if answer.status == HTTPStatus.OK:
        raise DeployError(
            f"OUTPUTS_DIR {settings.outputs} is used by the stack on port {port}, which is up: "
            "stop that one, or give this one an OUTPUTS_DIR and a STATE_DIR of its own"
        )
