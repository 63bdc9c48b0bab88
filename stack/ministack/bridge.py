"""The way to the engine's debugger: a socket that only the engine's own user may use.

``python -m stack.ministack.bridge`` joins stdin and stdout to it: ``docker exec`` reaches it so in a container.
"""

import contextlib
import os
import socket
import sys
import threading
from pathlib import Path
from typing import Protocol

from stack.settings import Settings

CHUNK = 1 << 16


class Closable(Protocol):
    """One end of a connection, of which one direction can be closed."""

    def fileno(self) -> int: ...
    def shutdown(self, how: int, /) -> None: ...


def path(port: int) -> Path:
    """Return where the engine on this port listens. TMPDIR may be too long a name for a socket."""
    return Path(f"/tmp/shortener-debugger-{os.getuid()}-{port}.sock")  # noqa: S108


def connect(port: int) -> socket.socket:
    """Connect to the engine on this port. Raises OSError."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(path(port)))
    except OSError:
        connection.close()
        raise
    return connection


def join(left: Closable, right: Closable) -> None:
    """Copy from each end to the other, until both have closed."""
    back = threading.Thread(target=_copy, args=(right, left), daemon=True)
    back.start()
    _copy(left, right)
    back.join()


def _copy(source: Closable, sink: Closable) -> None:
    try:
        while data := os.read(source.fileno(), CHUNK):
            while data:
                data = data[os.write(sink.fileno(), data) :]
        with contextlib.suppress(OSError):  # it is closed already
            sink.shutdown(socket.SHUT_WR)
    except OSError:  # one end is gone
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class Stdio:
    """Stdin and stdout as an end of a connection; the process ends with its stdout."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def fileno(self) -> int:
        return self.descriptor

    def shutdown(self, _: int, /) -> None:
        os._exit(0)


def main() -> int:
    """Join stdin and stdout to the engine of this container."""
    try:
        connection = connect(Settings.from_environment(os.environ).host_port)
    except OSError as error:
        print(f"error: {error.strerror}", file=sys.stderr)
        return 1
    threading.Thread(target=_copy, args=(Stdio(0), connection), daemon=True).start()
    _copy(connection, Stdio(1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
