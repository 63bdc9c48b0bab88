"""The embedded engine's folder, STATE_DIR: who made it, who runs in it, and what may be deleted.

    .shortener    the marker: this project made the folder. up.sh and down.sh take turns by a lock on it
    engine.lock   locked for as long as the engine lives; has its process ID and its port
    engine.log    what the engine and the build say
    data/         what the engine saves
    tmp/          a folder for each start, with the functions' code

Nothing is deleted in a folder without the marker, and in one with it nothing whose name the engine does not
give. An earlier version of this project wrote none: its folder is recognized by having engine.lock and
engine.log, and nothing that is not in this list.
"""

import contextlib
import fcntl
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from stack.errors import DeployError

MARKER = ".shortener"
MARK = "The embedded engine of the URL shortener keeps its state here: scripts/down.sh --wipe deletes it.\n"
LOCK, LOG, DATA, TEMPORARY = "engine.lock", "engine.log", "data", "tmp"
HOLDER = re.compile(r"(\d+) (\d+)\n")
NOT_COUNTED = re.compile(rf"\.DS_Store|{re.escape(MARKER)}\.\d+")  # the Finder's, and a marker that is being written
# What is in data/, and of tmp/ what starts have made, those of earlier versions too.
SAVED = re.compile(
    r"[a-z0-9_]+\.json(\.tmp)?|dynamodb|lambda-blobs|last-good|damaged-\d{8}T\d{6}|"
    r"cognito-.*|transfer-host-key.*|\.DS_Store"
)
STARTED = re.compile(r"start-[a-z0-9_]{8}|ministack-.*")
NAMES_SHOWN = 3
LOCK_TIMEOUT = 10  # seconds; the others hold it for microseconds
POLL_EVERY = 0.02  # seconds
LEAST_SPACE = 20_000_000  # bytes; an engine that finds none left fails in ways that explain nothing


@dataclass(frozen=True)
class Running:
    """The engine that holds the lock."""

    pid: int
    port: int


@dataclass(frozen=True)
class StateDir:
    """The folder at ``path``, which may not exist yet."""

    path: Path

    @property
    def log(self) -> Path:
        return self.path / LOG

    @property
    def data(self) -> Path:
        return self.path / DATA

    def is_ours(self) -> bool:
        """Return True if this project made the folder."""
        if _kind(self.path) != stat.S_IFDIR:
            return False
        with self._plain_errors():
            if _kind(self.path / MARKER) == stat.S_IFREG:
                return (self.path / MARKER).read_text(errors="replace") == MARK
            names = self._names()
            return (
                {LOCK, LOG} <= names <= {LOCK, LOG, DATA, TEMPORARY}
                and all(_kind(self.path / name) == stat.S_IFREG for name in (LOCK, LOG))
                and all(_kind(self.path / name) == stat.S_IFDIR for name in names - {LOCK, LOG})
                and re.fullmatch(r"(\d+ \d+\n)?.*", (self.path / LOCK).read_text(errors="replace")) is not None
            )

    def check(self) -> None:
        """Raise DeployError if there is something at the path that this project did not make."""
        kind = _kind(self.path)
        if kind == stat.S_IFLNK:
            raise DeployError(f"STATE_DIR {self.path} is a symlink: name the folder itself")
        if kind not in (None, stat.S_IFDIR):
            raise DeployError(f"STATE_DIR {self.path} is not a folder: name a folder for the engine alone")
        if kind is None or self.is_ours():
            return
        if names := sorted(self._names()):
            shown = ", ".join(names[:NAMES_SHOWN]) + (", …" if len(names) > NAMES_SHOWN else "")
            raise DeployError(
                f"STATE_DIR {self.path} has things in it that are not the engine's ({shown}): "
                "name a folder for the engine alone"
            )

    def claim(self) -> None:
        """Make the folder with its marker. Raises DeployError if it is not ours, or cannot be written to."""
        self.check()
        with self._plain_errors():
            self.path.mkdir(parents=True, exist_ok=True)
            if not (self.path / MARKER).exists():
                self._mark()
            if not os.access(self.path, os.W_OK | os.X_OK):
                raise DeployError(f"STATE_DIR {self.path} cannot be written to: name a folder that you may write to")

    @contextlib.contextmanager
    def turn(self, on_wait: Callable[[], None]) -> Iterator[None]:
        """Let one process at a time start or stop the engine of a folder that has been claimed."""
        with self._plain_errors():
            marker = (self.path / MARKER).open()
        with marker:
            try:
                fcntl.flock(marker, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                on_wait()
                fcntl.flock(marker, fcntl.LOCK_EX)
            yield

    def running(self) -> Running | None:
        """Return the process that runs the engine, or None.

        Ask with a shared lock that is let go at once: it makes ``lock`` try again, and nobody fail.
        Raises DeployError if the lock is held by somebody who does not say who it is.
        """
        if not self.is_ours():
            return None
        deadline = time.monotonic() + LOCK_TIMEOUT
        while time.monotonic() < deadline:
            try:
                with (self.path / LOCK).open() as file:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except FileNotFoundError:
                return None
            except BlockingIOError:
                if found := HOLDER.match((self.path / LOCK).read_text()):
                    return Running(int(found[1]), int(found[2]))
                time.sleep(POLL_EVERY)  # it is starting, and has not written its ID yet
            else:
                return None
        raise DeployError(f"{self.path / LOCK} is locked, but not by an engine: end the process that holds it")

    def unsaved(self) -> str:
        """Return what the engine said at its last stop if it could not save everything."""
        with self._plain_errors():
            return "".join((self.path / LOCK).read_text().splitlines(keepends=True)[1:])

    @contextlib.contextmanager
    def lock(self) -> Iterator[int]:
        """Lock the engine's lock for a process that is then given the descriptor, and keeps it locked."""
        with self._plain_errors():
            descriptor = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        try:
            deadline = time.monotonic() + LOCK_TIMEOUT
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:  # somebody asks who is running
                    if time.monotonic() > deadline:
                        raise DeployError(f"{self.path / LOCK} stays locked: end the process that holds it") from None
                    time.sleep(POLL_EVERY)
            os.ftruncate(descriptor, 0)
            yield descriptor
        finally:
            os.close(descriptor)

    def new_log(self) -> int:
        """Return a descriptor of the log, emptied."""
        with self._plain_errors():
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_NOFOLLOW
            return os.open(self.log, flags, 0o644)

    def new_temporary(self) -> Path:
        """Return a new folder for one start, without those of the starts before."""
        folder = self.path / TEMPORARY
        self._check_made(folder)
        with self._plain_errors():
            # What a killed engine's last worker still writes to is deleted at the next start.
            _delete(folder, STARTED, ignore_errors=True)
            folder.mkdir(exist_ok=True)
            return Path(tempfile.mkdtemp(prefix="start-", dir=folder))

    def check_space(self) -> None:
        """Raise DeployError if the disk is full."""
        with self._plain_errors():
            free = shutil.disk_usage(self.path).free
        if free < LEAST_SPACE:
            raise DeployError(
                f"the disk of STATE_DIR {self.path} is full ({free // 1_000_000} MB free): "
                "free some space, or name a folder on another disk"
            )

    def wipe(self) -> bool:
        """Delete what the engine saved; return False if it has saved nothing. Raises DeployError."""
        self.check()
        for name in (DATA, TEMPORARY):
            self._check_made(self.path / name)
        wiped = self.data.exists()
        with self._plain_errors():
            for path in self.data.iterdir() if wiped else ():
                if not SAVED.fullmatch(path.name):
                    raise DeployError(f"{path} is not something that the engine made: move it away")
            for name, made in ((DATA, SAVED), (TEMPORARY, STARTED)):
                _delete(self.path / name, made)
        return wiped

    def _check_made(self, folder: Path) -> None:
        """Raise DeployError if something else, such as a symlink, has the name of a folder of the engine's."""
        if _kind(folder) not in (None, stat.S_IFDIR):
            raise DeployError(f"{folder} is not a folder that the engine made: move it away")

    def _mark(self) -> None:
        """Write the marker, whole, and only if there is none: others may hold its lock already."""
        draft = self.path / f"{MARKER}.{os.getpid()}"
        try:
            draft.write_text(MARK)
            try:
                os.link(draft, self.path / MARKER)
            except FileExistsError:
                return
            except OSError:  # this file system has no hard links
                draft.replace(self.path / MARKER)
        finally:
            draft.unlink(missing_ok=True)

    def _names(self) -> set[str]:
        with self._plain_errors():
            return {path.name for path in self.path.iterdir() if not NOT_COUNTED.fullmatch(path.name)}

    @contextlib.contextmanager
    def _plain_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DeployError(
                f"STATE_DIR {self.path} cannot be used ({error.strerror}: {error.filename or self.path}): "
                "free some space, or name a folder that you may write to"
            ) from error


def _delete(folder: Path, made: re.Pattern[str], ignore_errors: bool = False) -> None:
    """Delete what has such a name in a folder, and the folder itself if nothing else is in it."""
    if not folder.exists():
        return
    for path in folder.iterdir():
        if made.fullmatch(path.name):
            if _kind(path) == stat.S_IFDIR:
                shutil.rmtree(path, ignore_errors=ignore_errors)
            else:
                path.unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()


def _kind(path: Path) -> int | None:
    """Return the type of what is at the path, a symlink as such, or None if there is nothing."""
    try:
        return stat.S_IFMT(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return None
