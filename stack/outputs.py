"""What the deployment leaves for others: the API's ID and its URL, in the outputs folder."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from stack.errors import OutputError

API_ID_FILE = "api_id"
API_URL_FILE = "api_url"


def check(folder: Path) -> None:
    """Raise OutputError unless the folder can be written to."""
    with _plain_errors(folder), tempfile.TemporaryFile(dir=folder):
        pass


def publish(folder: Path, api_id: str, api_url: str) -> None:
    """Write both files, each at once and whole; the ID comes last, so whoever sees it finds the URL."""
    with _plain_errors(folder):
        _write(folder / API_URL_FILE, api_url)
        _write(folder / API_ID_FILE, api_id)


def withdraw(folder: Path) -> None:
    """Remove both files, if they are there: there is no API that is known to answer."""
    with _plain_errors(folder):
        for name in (API_ID_FILE, API_URL_FILE):
            (folder / name).unlink(missing_ok=True)


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
        raise OutputError(
            f"the outputs folder {folder} cannot be written to ({error.strerror}): "
            "make it a folder that you may write to (OUTPUTS_DIR)"
        ) from error
