"""A server that is not the engine, for the tests to name as an endpoint or as a proxy."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Listener:
    """A server on this machine, and the first bytes of each connection that it got."""

    url: str
    connections: list[bytes] = field(default_factory=list)


@contextlib.contextmanager
def listener(status: str = "404 Not Found", body: str = "") -> Iterator[Listener]:
    """A server that gives everybody the same answer."""
    answer = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()
    with socket.create_server(("127.0.0.1", 0)) as server:
        listening = Listener(f"http://127.0.0.1:{server.getsockname()[1]}")

        def serve() -> None:
            with contextlib.suppress(OSError):  # the server was shut down
                while True:
                    connection, _ = server.accept()
                    with connection:
                        listening.connections.append(connection.recv(65536))
                        connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
