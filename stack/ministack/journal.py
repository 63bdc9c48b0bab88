"""What DynamoDB has acknowledged, on disk: a snapshot, and after it journals, one record a line.

A line is ``CRC SEQUENCE JSON``. A journal's record is the list of changes that one request made, each with the
whole new value, so that a record which is applied twice changes nothing. A file's first line says who wrote it, and
has the sequence of the last record before the file. A snapshot has one change a line, the tables before the items,
and ends with END. ``snapshot-N`` holds what the journals up to ``journal-N`` say. A process beside the engine makes it
from those files alone (``python -m stack.ministack.journal FOLDER N ENGINE``), while the engine writes to the next
journal. The snapshot before it is kept, with the journals between the two: if the newest is damaged, nothing is lost.
"""

import fcntl
import itertools
import json
import os
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
FORMAT = 1
END = b'"end"'
FOLD_AT = 16 << 20  # bytes of journals, or a quarter of the snapshot if that is more
FOLD_FILES = 8  # journals: each start begins another
SYNC_EVERY = 1  # seconds
RETRY_AFTER = 600  # seconds
EXPIRING = "_txn_idempotency"
EXPIRES = 600  # seconds after an entry's completed_at

Change = list[Any]
ITEM, ENTRY = "i", "s"  # [ITEM, account, region, table, hash, range, item], [ENTRY, store, account, region, key, value]


class UnreadableError(Exception):
    """A file that must not be used: which, why, and from which byte on."""

    def __init__(self, path: Path, why: str, offset: int = 0) -> None:
        super().__init__(f"{path} {why}")
        self.path = path
        self.offset = offset


class DamagedError(UnreadableError):
    """A file with something in it that nobody wrote."""

    def __init__(self, path: Path, offset: int, why: str) -> None:
        super().__init__(path, f"is damaged at byte {offset}: {why}", offset)


class TornError(DamagedError):
    """A file whose last record was not written to its end."""


class FullError(Exception):
    """A record that could not be written, and why."""


def encode(sequence: int, payload: bytes) -> bytes:
    """Return one line."""
    body = b"%d %s" % (sequence, payload)
    return b"%08x %s\n" % (zlib.crc32(body), body)


def dump(value: Any) -> bytes:
    """Return a value as compact JSON."""
    return json.dumps(value, separators=(",", ":")).encode()


def about(engine: str) -> bytes:
    """Return the payload of a first line."""
    return dump({"format": FORMAT, "engine": engine})


def files(folder: Path, kind: str) -> list[Path]:
    """Return the snapshots or the journals of a folder in order."""
    return sorted(path for path in folder.glob(f"{kind}-*") if path.name.rpartition("-")[2].isdigit())


def number(path: Path) -> int:
    """Return the number of a snapshot or a journal."""
    return int(path.name.rpartition("-")[2])


def history(folder: Path) -> tuple[Path | None, list[Path]]:
    """Return the newest snapshot and the journals after it."""
    snapshot = next(reversed(files(folder, "snapshot")), None)
    since = number(snapshot) if snapshot else 0
    return snapshot, [path for path in files(folder, "journal") if number(path) > since]


def parse(line: bytes) -> tuple[int, bytes] | None:
    """Return (sequence, payload) of a line, or None unless it is what was written."""
    body = line[9:-1]
    head, _, payload = body.partition(b" ")
    whole = line.endswith(b"\n") and line[:9] == b"%08x " % zlib.crc32(body) and head.isdigit()
    return (int(head), payload) if whole else None


def read(path: Path, engine: str, after: int) -> Iterator[tuple[int, bytes]]:
    """Yield (sequence, payload) of each line, the first with an empty payload; raise UnreadableError.

    A journal must begin where the files before it ended, after the record ``after``.
    """
    offset, payload, of_journal = 0, b"", path.name.startswith("journal")
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                raise TornError(path, offset, "the last record is not complete")
            if (record := parse(line)) is None:
                raise DamagedError(path, offset, "the record is not what was written")
            sequence, payload = record
            if offset == 0:
                check(path, json.loads(payload), engine)
                after = after if of_journal else sequence
            elif of_journal:
                after += 1
            if sequence != after:
                raise DamagedError(path, offset, f"record {sequence} is where {after} should be")
            yield sequence, payload if offset else b""
            offset += len(line)
    if offset == 0:
        raise TornError(path, 0, "the file is empty")
    if not of_journal and payload != END:
        raise DamagedError(path, offset, "its end is missing")


def check(path: Path, written: dict[str, Any], engine: str) -> None:
    """Raise UnreadableError if a file's first line says that this engine cannot read the rest."""
    if written["format"] > FORMAT:
        raise UnreadableError(path, f"has format {written['format']}, and this engine reads {FORMAT}")
    if _release(written["engine"]) > _release(engine):
        raise UnreadableError(path, f"was written by MiniStack {written['engine']}, and this is {engine}")


def _release(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]


def load(folder: Path, engine: str, take: Callable[[bytes, bool], None], at_least: int) -> tuple[int, TornError | None]:
    """Give ``take`` each payload, and whether it is a snapshot's; return the last sequence, and what is torn.

    Raise UnreadableError, also if the records end before ``at_least``; the files are as they were, in any case.
    """
    snapshot, journals = history(folder)
    last, torn = 0, None
    for path in ([snapshot] if snapshot else []) + journals:
        try:
            for sequence, payload in read(path, engine, last):
                last = sequence
                if payload and payload != END:
                    take(payload, path == snapshot)
        except TornError as error:
            if path not in journals[-1:]:
                raise
            torn = error
    if last < at_least:
        raise UnreadableError(folder, f"lacks its last records: {at_least} were written, and {last} are there")
    return last, torn


def fold(folder: Path, upto: int, engine: str) -> None:
    """Write the snapshot that holds what the newest one and the journals up to ``upto`` say."""
    snapshot, journals = history(folder)
    entries: dict[tuple[str, ...], bytes] = {}
    items: dict[tuple[str, ...], dict[tuple[str, str], bytes]] = {}
    dropped: set[tuple[str, ...]] = set()
    last = next(read(snapshot, engine, 0))[0] if snapshot else 0
    for path in journals:
        for sequence, payload in read(path, engine, last) if number(path) <= upto else ():
            last = sequence
            for change in json.loads(payload) if payload else ():
                new = b"" if change[-1] is None else dump(change)
                if change[0] == ITEM:
                    items.setdefault(tuple(change[1:4]), {})[change[4], change[5]] = new
                else:
                    entries[tuple(change[1:5])] = new
                    if change[1] == "_tables" and not new:
                        dropped.add(tuple(change[2:5]))
                        items.pop(tuple(change[2:5]), None)

    def kept(kind: str) -> Iterator[bytes]:
        """Yield what the snapshot has of a kind, and the journals do not change."""
        for _, payload in read(snapshot, engine, 0) if snapshot else ():
            change: Change = json.loads(payload) if payload and payload != END else [None]
            if change[0] != kind:
                if kind == ENTRY and change[0] == ITEM:
                    return  # the rest are items
            elif kind == ITEM:
                table = tuple(change[1:4])
                if table not in dropped and (change[4], change[5]) not in items.get(table, ()):
                    yield payload
            elif tuple(change[1:5]) not in entries and not (
                change[1] == EXPIRING and time.time() - change[5]["completed_at"] > EXPIRES
            ):
                yield payload

    parts = (kept(ENTRY), entries.values(), kept(ITEM), *(rows.values() for rows in items.values()))
    write_snapshot(folder, upto, engine, last, itertools.chain(*parts))


def write_snapshot(folder: Path, upto: int, engine: str, last: int, payloads: Iterable[bytes]) -> None:
    """Write a snapshot, whole or not at all; empty payloads are left out."""
    draft = folder / "snapshot.draft"
    with draft.open("wb") as file:
        file.write(encode(last, about(engine)))
        file.writelines(encode(last, payload) for payload in payloads if payload)
        file.write(encode(last, END))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(folder / f"snapshot-{upto:08d}")
    _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
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

    def load(self, take: Callable[[bytes, bool], None], at_least: int) -> None:
        """Replay what is there, and begin a new journal after it; raise UnreadableError."""
        self.sequence, torn = load(self.folder, self.engine, take, at_least)
        if torn:
            self.log(f"{torn}, as after a kill; it was never answered, and is dropped")
            os.truncate(torn.path, torn.offset)
            if torn.offset == 0:
                torn.path.unlink()
        (self.folder / "snapshot.draft").unlink(missing_ok=True)
        for path in files(self.folder, "journal")[-1:]:  # a power cut must not take what a start has seen
            with path.open("rb") as file:
                os.fsync(file.fileno())
        self._forget_what_is_folded()
        self._begin()

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
            write_snapshot(self.folder, upto, self.engine, self.sequence, ())
            self._begin()
            for path in [*files(self.folder, "snapshot")[:-1], *files(self.folder, "journal")[:-1]]:
                path.unlink()
            _sync_folder(self.folder)

    def close(self) -> None:
        """Have everything on disk."""
        with self.guard:
            if self.folding:
                self.folding.kill()
            os.fsync(self.descriptor)

    def keep(self) -> None:
        """Have what is appended on disk within a second from now on, and fold the journals when they have grown."""
        threading.Thread(target=self._keep, daemon=True).start()

    def _keep(self) -> None:
        grown = True  # by what earlier runs have left
        while True:
            time.sleep(SYNC_EVERY)
            try:
                grown |= self.sync()
                if grown or self.folding:
                    self._fold()
                    grown = False
            except OSError as error:
                self.log(f"the journal in {self.folder} cannot be kept: {error}")

    def _begin(self) -> None:
        """Append to a new journal from now on."""
        existing = files(self.folder, "journal") + files(self.folder, "snapshot")
        path = self.folder / f"journal-{max(map(number, existing), default=0) + 1:08d}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644)
        line = encode(self.sequence, about(self.engine))
        if os.write(descriptor, line) != len(line):
            raise OSError("the journal's first line could not be written")
        old, self.descriptor, self.size = self.descriptor, descriptor, len(line)
        if old >= 0:
            os.fsync(old)
            os.close(old)

    def sync(self) -> bool:
        """Have everything that is appended on disk now; return whether there was anything new."""
        with self.guard:
            if not self.dirty:
                return False
            descriptor, self.dirty = os.dup(self.descriptor), False
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return True

    def _fold(self) -> None:
        if self.folding and (code := self.folding.poll()) is None:
            return
        if self.folding:
            self.folding = None
            if code:
                self.log(f"the journals in {self.folder} could not be folded into a snapshot: they are kept")
                self.fold_again_at = time.monotonic() + RETRY_AFTER
            else:
                self._forget_what_is_folded()
        snapshot, journals = history(self.folder)
        size = sum(path.stat().st_size for path in journals)
        enough = max(FOLD_AT, snapshot.stat().st_size // 4 if snapshot else 0)
        if (size < enough and len(journals) <= FOLD_FILES) or time.monotonic() < self.fold_again_at:
            return
        with self.guard:
            self._begin()
            command = [sys.executable, "-m", "stack.ministack.journal", str(self.folder), str(number(journals[-1]))]
            self.folding = subprocess.Popen([*command, self.engine], cwd=PROJECT)

    def _forget_what_is_folded(self) -> None:
        snapshots = files(self.folder, "snapshot")
        for path in snapshots[:-2]:
            path.unlink()
        for path in files(self.folder, "journal") if len(snapshots) > 1 else ():
            if number(path) <= number(snapshots[-2]):
                path.unlink()


if __name__ == "__main__":
    os.nice(19)
    fold(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
