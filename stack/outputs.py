"""What the deployment leaves for others: the API's ID and its URL, in the outputs folder."""

import contextlib
import errno
import fcntl
import os
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from stack.errors import OutputError

API_ID_FILE = "api_id"
API_URL_FILE = "api_url"
DRAFT = re.compile(rf"\.({API_ID_FILE}|{API_URL_FILE})\.\d+")  # of a process that was killed while it wrote
TURN_TIMEOUT = 120  # seconds
POLL_EVERY = 0.1  # seconds
PORT = re.compile(r"http://127\.0\.0\.1:(\d+)/")


def check(folder: Path) -> None:
    """Raise OutputError unless files can be written in the folder."""
    with _plain_errors(folder), tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"a full disk takes an empty file, and no byte in it")
        file.flush()


def publish(folder: Path, api_id: str, api_url: str) -> None:
    """Write both files, each at once and whole; the ID comes last, so whoever sees it finds the URL."""
    with _plain_errors(folder):
        _write(folder / API_URL_FILE, api_url)
        _write(folder / API_ID_FILE, api_id)


def withdraw(folder: Path, port: int | None = None) -> None:
    """Remove both files and their drafts: no API is known to answer.

    With ``port``, leave the outputs of a stack on another port: it shares the folder, and may be up.
    """
    if not folder.is_dir():
        return
    with _plain_errors(folder):
        if port is not None and published_port(folder) not in (None, port):
            return
        for name in (API_ID_FILE, API_URL_FILE):
            (folder / name).unlink(missing_ok=True)
        for path in folder.iterdir():
            if DRAFT.fullmatch(path.name):
                path.unlink(missing_ok=True)


def published_port(folder: Path) -> int | None:
    """Return the port of the local stack whose URL is in the folder, or None."""
    try:
        found = PORT.match((folder / API_URL_FILE).read_text(errors="replace"))
    except OSError:
        return None
    return int(found[1]) if found else None


@contextlib.contextmanager
def turn(folder: Path) -> Iterator[None]:
    """Let one build at a time publish in the folder.

    A hook outlives an engine that is killed. Its build must not withdraw what the next one publishes.
    Raises OutputError if the other build takes too long.
    """
    with _plain_errors(folder):
        descriptor = os.open(folder, os.O_RDONLY)
    try:
        deadline = time.monotonic() + TURN_TIMEOUT
        while not _locked(descriptor):
            if time.monotonic() > deadline:
                raise OutputError(f"another build still uses the outputs folder {folder}: wait for it, or end it")
            time.sleep(POLL_EVERY)
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in (errno.ENOTSUP, errno.EINVAL, errno.ENOLCK, errno.ENOSYS):
            raise
        # The file system has no locks, as some that Docker shares with a virtual machine.
    return True


def _write(path: Path, line: str) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("w") as file:
            file.write(f"{line}\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


@contextlib.contextmanager
def _plain_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        advice = (
            "free some space on its disk"
            if error.errno in (errno.ENOSPC, errno.EDQUOT)
            else "make it a folder that you may write to"
        )
        raise OutputError(
            f"the outputs folder {folder} cannot be written to ({error.strerror}): {advice} (OUTPUTS_DIR)"
        ) from error
