"""A server that is not the engine, for the tests to name as an endpoint or as a proxy."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Listener:
    """A server on this machine, its answer to everybody, and the first bytes of each connection that it got."""

    url: str
    answer: bytes
    connections: list[bytes] = field(default_factory=list)


def answer(status: str, body: str = "") -> bytes:
    """Return an answer of HTTP."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()


NOT_FOUND = answer("404 Not Found")


@contextlib.contextmanager
def listener(says: bytes = NOT_FOUND) -> Iterator[Listener]:
    """Serve everybody the same answer; an empty one is to hang up."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        listening = Listener(f"http://127.0.0.1:{server.getsockname()[1]}", says)

        def serve() -> None:
            with contextlib.suppress(OSError):  # the server was shut down
                while True:
                    connection, _ = server.accept()
                    with connection, contextlib.suppress(ConnectionError):
                        listening.connections.append(connection.recv(65536))
                        connection.sendall(listening.answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
