"""What can still be read of damaged tables: a new snapshot of it, and a line for each thing that is lost.

A record has whole new values, so those after a damaged one hold without it.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stack.ministack.journal import (
    ITEM,
    Change,
    UnreadableError,
    check,
    dump,
    files,
    number,
    parse,
    read,
    write_snapshot,
)

SHOWN = 100  # bytes of a damaged record


class Salvage:
    """The contents of a folder, as far as they can be read."""

    def __init__(self, folder: Path, engine: str, known: dict[str, Any]) -> None:
        self.folder, self.engine, self.known = folder, engine, known
        self.entries: dict[tuple[str, ...], bytes] = {}
        self.items: dict[tuple[str, ...], dict[tuple[str, str], bytes]] = {}
        self.sequence = 0
        self.lost: list[str] = []
        by_age = sorted(
            [*files(folder, "journal"), *files(folder, "snapshot")], key=lambda path: (number(path), path.name)
        )
        whole = [place for place, path in enumerate(by_age) if self._is_whole(path)]
        if not whole:
            self._take(known.get("entries", []))
        self.last = next(reversed(by_age), None)
        for path in by_age[whole[-1] if whole else 0 :]:
            try:
                self._read(path)
            except UnreadableError as error:
                self.lost.append(f"what was written since: {error}")
                break
        self._miss_up_to(known.get("sequence", 0))
        self._describe()

    def replace(self, aside: Path) -> None:
        """Make this what the folder has; move what was there."""
        before = [*files(self.folder, "snapshot"), *files(self.folder, "journal")]
        upto = max(map(number, before), default=0) + 1
        self.folder.mkdir(exist_ok=True)
        payloads = [*self.entries.values(), *(item for rows in self.items.values() for item in rows.values())]
        write_snapshot(self.folder, upto, self.engine, self.sequence, payloads)
        for path in before:
            aside.mkdir(exist_ok=True)
            shutil.move(path, aside)

    def report(self) -> Iterator[str]:
        """Yield what is kept of each table, and what is lost."""
        counts = self.known.get("items", {})
        tables = {key[-1]: len(self.items.get(key[1:], {})) for key in self.entries if key[0] == "_tables"}
        for name in sorted(tables.keys() | counts.keys()):
            kept = tables.get(name, 0)
            before = f", of at least {counts[name]}" if counts.get(name, 0) > kept else ""
            yield f"table {name} has {kept} items{before}"
        yield from (f"lost: {what}" for what in self.lost)

    def _is_whole(self, path: Path) -> bool:
        try:
            return path.name.startswith("snapshot") and all(True for _ in read(path, self.engine, 0))
        except UnreadableError:
            return False

    def _read(self, path: Path) -> None:
        of_snapshot = path.name.startswith("snapshot")
        with path.open("rb") as file:
            for line in file:
                if (record := parse(line)) is None:
                    if path == self.last and not line.endswith(b"\n"):
                        continue  # as after a kill; it was never answered
                    self.lost.append(f"a damaged record of {path.name}: {line[:SHOWN]!r}")
                    continue
                sequence, payload = record
                content = json.loads(payload)
                if isinstance(content, dict):
                    check(path, content, self.engine)
                if not of_snapshot:
                    self._miss_up_to(sequence - isinstance(content, list))
                self.sequence = max(self.sequence, sequence)
                if isinstance(content, list):
                    self._take([content] if of_snapshot else content)

    def _take(self, changes: list[Change]) -> None:
        for change in changes:
            new = b"" if change[-1] is None else dump(change)
            if change[0] == ITEM:
                rows = self.items.setdefault(tuple(change[1:4]), {})
                rows[change[4], change[5]] = new
                if not new:
                    del rows[change[4], change[5]]
                continue
            self.entries[tuple(change[1:5])] = new
            if change[1] == "_tables" and not new:
                self.items.pop(tuple(change[2:5]), None)

    def _miss_up_to(self, sequence: int) -> None:
        if sequence > self.sequence:
            some = (
                f"records {self.sequence + 1} to {sequence}" if sequence > self.sequence + 1 else f"record {sequence}"
            )
            self.lost.append(f"{some}, with what no later record says")
            self.sequence = sequence

    def _describe(self) -> None:
        """Take the description of a table from what was noted apart, if its record is lost."""
        described = {tuple(change[1:5]): change for change in self.known.get("entries", [])}
        for table, rows in list(self.items.items()):
            key = ("_tables", *table)
            if rows and not self.entries.get(key):
                if key in described:
                    self.entries[key] = dump(described[key])
                else:
                    self.lost.append(f"{len(rows)} items of table {table[-1]}, for nothing says what table it is")
                    del self.items[table]
