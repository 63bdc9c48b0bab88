"""Messages of the Debug Adapter Protocol on their way between an editor and a function's debugger.

https://microsoft.github.io/debug-adapter-protocol/overview#base-protocol
"""

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

HEADER = b"Content-Length:"
LEAVES = ("disconnect", "terminate")  # what an editor sends when its user has had enough
LAST = 1 << 30  # the number of a message that no editor has sent


def join(editor: socket.socket, debugger: socket.socket, reloads: Callable[[], bool]) -> None:
    """Pass on what either says, until both have closed.

    When the debugger ends because the function is reloaded, the editor is asked to attach again. When the editor
    is gone without a word, the debugger is told so: it would take no other one.
    """
    left = threading.Event()

    def ask() -> None:
        for message in _messages(editor):
            if any(f'"{word}"'.encode() in message for word in LEAVES) and json.loads(message)["command"] in LEAVES:
                left.set()
            _send(debugger, message)
        if not left.is_set():
            left.set()
            _send(debugger, json.dumps({"seq": LAST, "type": "request", "command": LEAVES[0]}).encode())

    def answer() -> None:
        for message in _messages(debugger):
            restarts = b'"terminated"' in message and not left.is_set() and reloads()
            _send(editor, _asking_to_restart(message) if restarts else message)

    asking = threading.Thread(target=_until_gone, args=(ask,), daemon=True)
    asking.start()
    _until_gone(answer)  # the debugger closes the connection, whoever leaves
    with contextlib.suppress(OSError):
        editor.shutdown(socket.SHUT_WR)
    asking.join()


def _until_gone(copy: Callable[[], None]) -> None:
    with contextlib.suppress(OSError):
        copy()


def _messages(source: socket.socket) -> Iterator[bytes]:
    """Yield the content of each message until the source closes."""
    with source.makefile("rb") as stream:
        while (length := _length(stream)) is not None:
            content = stream.read(length)
            if len(content) < length:
                return
            yield content


def _length(stream: BinaryIO) -> int | None:
    """Return the length that the header of the next message says, or None at the end."""
    length = None
    while (line := stream.readline()).strip():
        if line.startswith(HEADER):
            length = int(line.removeprefix(HEADER))
    return length


def _send(sink: socket.socket, content: bytes) -> None:
    sink.sendall(HEADER + b" %d\r\n\r\n" % len(content) + content)


def _asking_to_restart(message: bytes) -> bytes:
    """Return a message, with the wish to attach again if this is the event that the debuggee has ended."""
    event: dict[str, Any] = json.loads(message)
    if event.get("event") == "terminated":
        event["body"] = {**event.get("body", {}), "restart": True}
    return json.dumps(event).encode()
