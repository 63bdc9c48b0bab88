"""What DynamoDB has acknowledged, on disk: a snapshot, and after it journals, one record a line.

A line is ``CRC SEQUENCE JSON``. A journal's record is the list of changes that one request made, each with
the whole new value, so that a record which is applied twice changes nothing. The first line of a file is a
header, whose sequence is that of the last record before the file. A snapshot's records have one change
each, the tables before the items, and its last record is END. ``snapshot-N`` holds what the journals up to
``journal-N`` say. It is made from those files alone, by a process beside the engine
(``python -m stack.engine.journal FOLDER N``), while the engine writes to the next journal. The snapshot
before it is kept, with the journals that lie between the two: if the newest is damaged, nothing is lost.
"""

import contextlib
import fcntl
import json
import os
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
FORMAT = 1
END = b'"end"'
FOLD_AT = 16 << 20  # bytes of journals, or a quarter of the snapshot if that is more
FOLD_FILES = 8  # journals: each start begins another
SYNC_EVERY = 1  # seconds
EXPIRING = "_txn_idempotency"
EXPIRES = 600  # seconds after an entry's completed_at

Change = list[Any]
ITEM, ENTRY = "i", "s"  # [ITEM, account, region, table, hash, range, item], [ENTRY, store, account, region, key, value]


class DamagedError(Exception):
    """A file that cannot be read: which, from which byte on, and why."""

    def __init__(self, path: Path, offset: int, why: str) -> None:
        super().__init__(f"{path} is damaged at byte {offset}: {why}")
        self.path = path
        self.offset = offset


class NewerError(Exception):
    """A file that a newer engine wrote."""


class FullError(Exception):
    """A record that could not be written, and why."""


class TornError(DamagedError):
    """A file whose last record was not written to its end."""


def encode(sequence: int, payload: bytes) -> bytes:
    """Return one line."""
    body = b"%d %s" % (sequence, payload)
    return b"%08x %s\n" % (zlib.crc32(body), body)


def dump(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def read(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """Yield the lines of a file as (offset, sequence, payload), the header first; raise DamagedError."""
    offset = 0
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                raise TornError(path, offset, "the last record is not complete")
            body = line[9:-1]
            sequence, _, payload = body.partition(b" ")
            if line[:9] != b"%08x " % zlib.crc32(body) or not sequence.isdigit():
                raise DamagedError(path, offset, "the record is not what was written")
            yield offset, int(sequence), payload
            offset += len(line)
    if offset == 0:
        raise TornError(path, 0, "the file is empty")


def number(path: Path) -> int:
    """Return the number of a snapshot or a journal."""
    return int(path.name.rpartition("-")[2])


def files(folder: Path, kind: str) -> list[Path]:
    """Return the snapshots or the journals of a folder in order."""
    return sorted(path for path in folder.glob(f"{kind}-*") if path.name.rpartition("-")[2].isdigit())


def snapshot_changes(path: Path) -> Iterator[bytes]:
    """Yield the changes of a snapshot; raise DamagedError unless it is whole."""
    payload = b""
    for offset, _, payload in read(path):
        if offset and payload != END:
            yield payload
    if payload != END:
        raise DamagedError(path, path.stat().st_size, "its end is missing")


def journal_records(path: Path, after: int) -> Iterator[tuple[int, bytes]]:
    """Yield (sequence, record) of a journal, which must begin where the files before it ended; raise DamagedError."""
    for offset, sequence, payload in read(path):
        if offset:
            after += 1
        if sequence != after:
            raise DamagedError(path, offset, f"record {sequence} is where {after} should be")
        if offset:
            yield sequence, payload


def header(path: Path) -> tuple[int, dict[str, Any]]:
    """Return the first line: the sequence before the file, and who wrote it; raise DamagedError."""
    _, sequence, payload = next(read(path))
    about = json.loads(payload)
    if not isinstance(about, dict) or about.keys() != {"format", "engine"}:
        raise DamagedError(path, 0, "it has no header")
    return sequence, about


def check_header(path: Path, engine: str) -> None:
    """Raise NewerError if a newer engine wrote the file."""
    about = header(path)[1]
    if about["format"] > FORMAT:
        raise NewerError(f"{path} has format {about['format']}, and this engine reads {FORMAT}")
    if _release(about["engine"]) > _release(engine):
        raise NewerError(f"{path} was written by MiniStack {about['engine']}, and this is {engine}")


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def history(folder: Path) -> tuple[Path | None, list[Path]]:
    """Return the newest snapshot and the journals after it."""
    snapshot = next(reversed(files(folder, "snapshot")), None)
    since = number(snapshot) if snapshot else 0
    return snapshot, [path for path in files(folder, "journal") if number(path) > since]


def load(folder: Path, engine: str, take: Callable[[bytes, bool], None]) -> tuple[int, TornError | None]:
    """Give ``take`` each payload, and whether it is a snapshot's; return the last sequence, and what was torn off.

    Raise DamagedError or NewerError; then the files are as they were.
    """
    snapshot, journals = history(folder)
    last, torn = 0, None
    for path in ([snapshot] if snapshot else []) + journals:
        try:
            check_header(path, engine)
            if path == snapshot:
                last = header(path)[0]
                for payload in snapshot_changes(path):
                    take(payload, True)
            else:
                for last, payload in journal_records(path, last):
                    take(payload, False)
        except TornError as error:
            if path not in journals[-1:]:
                raise
            torn = error
    return last, torn


def fold(folder: Path, upto: int) -> None:
    """Write the snapshot that holds what the newest one and the journals up to ``upto`` say."""
    snapshot, journals = history(folder)
    entries: dict[tuple[str, ...], bytes] = {}
    items: dict[tuple[str, ...], dict[tuple[str, str], bytes]] = {}
    dropped: set[tuple[str, ...]] = set()
    sequence = header(snapshot)[0] if snapshot else 0
    for path in journals:
        if number(path) > upto:
            break
        about = header(path)[1]
        for sequence, payload in journal_records(path, sequence):
            for change in json.loads(payload):
                if change[0] == ITEM:
                    items.setdefault(tuple(change[1:4]), {})[change[4], change[5]] = (
                        b"" if change[6] is None else dump(change)
                    )
                else:
                    entries[tuple(change[1:5])] = b"" if change[5] is None else dump(change)
                    if change[1] == "_tables" and change[5] is None:
                        dropped.add(tuple(change[2:5]))
                        items.pop(tuple(change[2:5]), None)
    target = folder / f"snapshot-{upto:08d}"
    draft = target.with_suffix(".draft")
    with draft.open("wb") as file:
        file.write(encode(sequence, dump(about)))

        def put(payload: bytes) -> None:
            if payload:
                file.write(encode(sequence, payload))

        changed, listed = {*entries}, False
        for payload in snapshot_changes(snapshot) if snapshot else ():
            change = json.loads(payload)
            if change[0] == ENTRY:
                if tuple(change[1:5]) not in changed and not _expired(change):
                    put(payload)
                continue
            if not listed:
                listed = True
                for new in entries.values():
                    put(new)
            table = tuple(change[1:4])
            if table not in dropped and (change[4], change[5]) not in items.get(table, ()):
                put(payload)
        for new in () if listed else entries.values():
            put(new)
        for rows in items.values():
            for new in rows.values():
                put(new)
        put(END)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(target)
    sync_folder(folder)


def _expired(change: Change) -> bool:
    return bool(change[1] == EXPIRING and time.time() - change[5]["completed_at"] > EXPIRES)


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


class Journal:
    """The journal that the engine appends to. One process has it at a time."""

    def __init__(self, folder: Path, engine: str, log: Callable[[str], None]) -> None:
        self.folder = folder
        self.engine = engine
        self.log = log
        self.guard = threading.Lock()
        self.dirty = False
        self.sequence = self.size = 0
        self.descriptor = -1
        self.folding: subprocess.Popen[bytes] | None = None
        self.fold_again_at = 0.0

    def lock(self) -> bool:
        """Return whether the folder is this process's own now."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.locked = (self.folder / "lock").open("w")
        try:
            fcntl.flock(self.locked, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def load(self, take: Callable[[bytes, bool], None]) -> None:
        """Replay what is there, and begin a new journal after it; raise DamagedError or NewerError."""
        self.sequence, torn = load(self.folder, self.engine, take)
        if torn:
            self.log(f"{torn}, as after a kill; it was never answered, and is dropped")
            os.truncate(torn.path, torn.offset)
            if torn.offset == 0:
                torn.path.unlink()
        for draft in self.folder.glob("*.draft"):
            draft.unlink()
        self._forget_what_is_folded()
        self._begin()

    def keep(self) -> None:
        """Have what is appended on disk within a second from now on, and fold the journals when they have grown."""
        threading.Thread(target=self._keep, daemon=True).start()

    def append(self, changes: list[Change]) -> None:
        """Write one record; raise FullError if that is not possible, and then nothing is written."""
        with self.guard:
            line = encode(self.sequence + 1, dump(changes))
            try:
                written = 0
                while written < len(line):
                    written += os.write(self.descriptor, line[written:])
            except OSError as error:
                try:
                    os.ftruncate(self.descriptor, self.size)
                except OSError:
                    self.descriptor = -1  # nothing must follow a record that is not complete
                raise FullError(error.strerror) from error
            self.sequence += 1
            self.size += len(line)
            self.dirty = True

    def clear(self) -> None:
        """Forget everything."""
        with self.guard:
            if self.folding:
                self.folding.kill()
                self.folding.wait()
                self.folding = None
            upto = number(files(self.folder, "journal")[-1])
            draft = self.folder / "empty.draft"
            draft.write_bytes(encode(self.sequence, self._about()) + encode(self.sequence, END))
            draft.replace(self.folder / f"snapshot-{upto:08d}")
            self._begin()
            for path in [*files(self.folder, "snapshot")[:-1], *files(self.folder, "journal")[:-1]]:
                path.unlink()
            sync_folder(self.folder)

    def close(self) -> None:
        """Have everything on disk."""
        with self.guard:
            if self.folding:
                self.folding.kill()
            os.fsync(self.descriptor)

    def _about(self) -> bytes:
        return dump({"format": FORMAT, "engine": self.engine})

    def _begin(self) -> None:
        """Append to a new journal from now on."""
        existing = files(self.folder, "journal") + files(self.folder, "snapshot")
        path = self.folder / f"journal-{max(map(number, existing), default=0) + 1:08d}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644)
        line = encode(self.sequence, self._about())
        if os.write(descriptor, line) != len(line):
            raise OSError("the journal's first line could not be written")
        old, self.descriptor, self.size = self.descriptor, descriptor, len(line)
        if old >= 0:
            os.fsync(old)
            os.close(old)

    def _keep(self) -> None:
        while True:
            time.sleep(SYNC_EVERY)
            try:
                self._sync()
                self._fold()
            except OSError as error:
                self.log(f"the journal in {self.folder} cannot be kept: {error}")

    def _sync(self) -> None:
        with self.guard:
            if not self.dirty:
                return
            descriptor, self.dirty = os.dup(self.descriptor), False
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _fold(self) -> None:
        if self.folding:
            if (code := self.folding.poll()) is None:
                return
            self.folding = None
            if code != 0:
                self.log(
                    f"the journals in {self.folder} could not be folded into a snapshot: they are kept as they are"
                )
                self.fold_again_at = time.monotonic() + 600
                return
            self._forget_what_is_folded()
        snapshot, journals = history(self.folder)
        size = sum(path.stat().st_size for path in journals)
        enough = max(FOLD_AT, snapshot.stat().st_size // 4 if snapshot else 0)
        if (size < enough and len(journals) <= FOLD_FILES) or time.monotonic() < self.fold_again_at:
            return
        with self.guard:
            self._begin()
            self.folding = subprocess.Popen(
                [sys.executable, "-m", __spec__.name, str(self.folder), str(number(journals[-1]))], cwd=PROJECT
            )

    def _forget_what_is_folded(self) -> None:
        *older, previous, _ = [None, None, *files(self.folder, "snapshot")]
        for path in filter(None, older):
            path.unlink()
        for path in files(self.folder, "journal"):
            if previous is not None and number(path) <= number(previous):
                path.unlink()


if __name__ == "__main__":
    os.nice(19)
    with contextlib.suppress(KeyboardInterrupt):
        fold(Path(sys.argv[1]), int(sys.argv[2]))
