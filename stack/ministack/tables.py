"""DynamoDB's tables, kept in the journal: what a request changed is written before its answer goes out.

MiniStack changes items in two functions, which are wrapped here, and everything else that it keeps of
tables in dictionaries, which are compared with what was last written, after each operation that is not
about items alone. The journal gets the values, not the requests: replaying them draws no random ID,
reads no clock and meets no condition.
"""

import contextlib
import contextvars
import gc
import json
from pathlib import Path
from typing import Any

from stack.ministack import names
from stack.ministack.journal import ENTRY, EXPIRING, ITEM, Change, FullError, Journal, dump
from stack.ministack.logs import log

# These change items, if anything.
OF_ITEMS = {
    *("PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"),
    *("ExecuteStatement", "BatchExecuteStatement", "ExecuteTransaction"),
    *("BatchGetItem", "TransactGetItems", "Query", "Scan", "SearchVectors"),
}
READS = ("Get", "List", "Describe")
TOGETHER = 4096  # payloads that are parsed together, and items of a new table in one record

Scope = tuple[str, str, str]  # account, region, name
Row = tuple[str, str]  # hash key and range key; MiniStack has a filler where a table has no range key


class Request:
    """Remember what a request changes, and how it was before."""

    def __init__(self, written: dict[tuple[str, Scope], bytes] | None) -> None:
        self.open = True
        self.rows: dict[int, tuple[Any, dict[Row, Any]]] = {}  # by the table's identity: the table, its rows before
        self.tokens: list[Scope] = []
        self.written = None if written is None else dict(written)
        self.stores = None if written is None else {name: dict(names.store(name)) for name in names.STORES}

    def touch(self, table: Any, row: Row) -> None:
        rows = self.rows.setdefault(id(table), (table, {}))[1]
        if row not in rows:
            rows[row] = names.item(table, row)

    def undo(self) -> None:
        """Have everything as it was."""
        for table, rows in self.rows.values():
            for row, item in rows.items():
                names.put(table, row, item)
        for token in self.tokens:
            names.store(EXPIRING).pop(token, None)
        for name, before in (self.stores or {}).items():
            names.store(name).clear()
            names.store(name).update(before)
        for (name, scope), value in (self.written or {}).items():
            if name == "_tables":
                names.set_table(scope, json.loads(value))
            else:
                names.store(name)[scope] = json.loads(value)


class Tables:
    """The link between DynamoDB and its journal."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.request: contextvars.ContextVar[Request | None] = contextvars.ContextVar("request", default=None)
        self.written: dict[tuple[str, Scope], bytes] = {}
        self.full = ""
        self.known: Path | None = None  # by which a start knows that records are missing, and what tables there were

    def load(self, before_journals: Path, at_least: int = 0) -> None:
        """Restore the tables, of a state without a journal too; raise UnreadableError."""
        gc.disable()
        payloads: list[bytes] = []

        def take(payload: bytes, of_snapshot: bool) -> None:
            payloads.append(b"[%s]" % payload if of_snapshot else payload)
            if len(payloads) >= TOGETHER:
                replay()

        def replay() -> None:
            for changes in json.loads(b"[%s]" % b",".join(payloads)):
                for change in changes:
                    _replay(change)
            payloads.clear()

        self.journal.load(take, at_least)
        replay()
        names.recount()
        self.written = {(name, scope): _value(name, value) for name, scope, value in names.entries(names.STORES)}
        if before_journals.exists():
            self._cleared()
            names.restore_dynamodb()
            self.write_entries(names.STORES)
            before_journals.replace(self.journal.folder / "imported.json")
        gc.enable()
        gc.freeze()  # so that a million links are not looked at again and again

    def follow(self) -> None:
        """Write down every change from now on."""
        self.journal.keep()
        names.watch(self._handle, self._change, self._token_stored, self._cleared)

    async def _handle(self, handle: Any, *arguments: Any) -> Any:
        """Let MiniStack handle a request, and write down what it changed before its answer goes out."""
        operation = arguments[2].get("x-amz-target", "").rpartition(".")[2]
        of_entries = operation not in OF_ITEMS and not operation.startswith(READS)
        request = Request(self.written if of_entries else None)
        outer = self.request.set(request)
        try:
            answer = await handle(*arguments)
        finally:
            self.request.reset(outer)
            request.open = False
            refused = self._write_or_undo(request, of_entries)
        return names.refusal(refused) if refused else answer

    def _write_or_undo(self, request: Request, of_entries: bool) -> str:
        try:
            self._write(request, of_entries)
        except FullError as error:
            request.undo()
            return f"nothing was written: the engine's state cannot be written to: {error}"
        return ""

    def _change(self, change: Any, table: Any, row: Row, *item: Any) -> Any:
        """Let MiniStack change an item, and write that down at once unless a request did it."""
        request = self.request.get()
        if request is not None and request.open:
            request.touch(table, row)
            return change(table, *row, *item)
        alone = Request(None)
        alone.touch(table, row)
        before = change(table, *row, *item)
        with contextlib.suppress(FullError):  # which is in the log
            self._write(alone, False)
        return before

    def _token_stored(self, token: Scope) -> None:
        if (request := self.request.get()) is not None:
            request.tokens.append(token)

    def _cleared(self) -> None:
        self.journal.clear()
        self.written.clear()
        self.remember()

    def _write(self, request: Request, of_entries: bool) -> None:
        changes: list[Change] = []
        for table, rows in request.rows.values():
            scope = names.scope(table)
            if ("_tables", scope) not in self.written:
                of_entries = True  # and all its items are written there
                continue
            for row, before in rows.items():
                if (item := names.item(table, row)) is not before:
                    changes.append([ITEM, *scope, *row, item])
        tokens = names.store(EXPIRING)
        changes += [[ENTRY, EXPIRING, *token, tokens[token]] for token in request.tokens if token in tokens]
        if changes:
            self._append(changes)
        if of_entries:
            self.write_entries(names.STORES)

    def write_entries(self, stores: "tuple[str, ...] | list[str]") -> None:
        """Write down what is new beside the items, and new tables with their items; raise FullError."""
        now = {(name, scope): value for name, scope, value in names.entries(stores)}
        tables_changed = False
        for key in [key for key in self.written if key[0] in stores and key not in now]:
            self._append([[ENTRY, key[0], *key[1], None]])
            del self.written[key]
            tables_changed |= key[0] == "_tables"
        for (name, scope), entry in now.items():
            value = _value(name, entry)
            before = self.written.get((name, scope))
            if value == before:
                continue
            change = [ENTRY, name, *scope, json.loads(value)]
            another = name == "_tables" and (before is None or json.loads(before)["TableId"] != change[5]["TableId"])
            changes = [[*change[:5], None], change] if another and before else [change]
            if another:
                for row, item in names.rows(entry):
                    changes.append([ITEM, *scope, *row, item])
                    if len(changes) >= TOGETHER:
                        self._append(changes)
                        self.written[name, scope] = value
                        changes = []
            if changes:
                self._append(changes)
            self.written[name, scope] = value
            tables_changed |= name == "_tables"
        if tables_changed:
            self.remember()  # without it, the items of a table whose own record is damaged could not be restored

    def close(self) -> None:
        """Have everything on disk; raise FullError or OSError."""
        try:
            self.write_entries(names.STORES)
        finally:
            self.journal.close()
            self.remember()

    def remember(self) -> None:
        """Note, apart from the journal, how far it has come on disk, and everything but the items."""
        if self.known is None:
            return
        entries = [[ENTRY, name, *scope, json.loads(value)] for (name, scope), value in self.written.items()]
        counts = {scope[2]: names.count(table) for _, scope, table in names.entries(["_tables"])}
        draft = self.known.with_suffix(".draft")
        try:
            self.journal.sync()
            draft.parent.mkdir(exist_ok=True)
            draft.write_bytes(dump({"sequence": self.journal.sequence, "items": counts, "entries": entries}))
            draft.replace(self.known)
        except OSError as error:
            draft.unlink(missing_ok=True)
            log.warning("%s could not be written: %s", self.known, error.strerror)

    def _append(self, changes: list[Change]) -> None:
        try:
            self.journal.append(changes)
        except FullError as error:
            if self.full != str(error):
                log.error(
                    "error: nothing more can be written to %s: %s: writes are refused", self.journal.folder, error
                )
            self.full = str(error)
            raise
        if self.full:
            log.warning("%s can be written to again", self.journal.folder)
            self.full = ""


def _value(store: str, entry: Any) -> bytes:
    return dump(names.without_items(entry) if store == "_tables" else entry)


def _replay(change: Change) -> None:
    if change[0] == ITEM:
        names.load_item((change[1], change[2], change[3]), (change[4], change[5]), change[6])
        return
    _, store, account, region, key, value = change
    if value is None:
        names.store(store).pop((account, region, key), None)
    elif store == "_tables":
        names.set_table((account, region, key), value)
    else:
        names.store(store)[account, region, key] = value
