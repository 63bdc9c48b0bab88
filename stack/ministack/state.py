"""The guard before the engine's state: what cannot be read stops the start, and is left as it is."""

import hashlib
import json
import os
import re
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stack.ministack import names
from stack.ministack.journal import DamagedError, Journal, UnreadableError, history, load
from stack.ministack.logs import log
from stack.ministack.salvage import Salvage
from stack.ministack.tables import Tables

SHA256 = re.compile(r"[0-9a-f]{64}")
GOOD = "last-good"  # a copy of every service's state that was read without a complaint
LEAST = 1 << 16  # bytes; a disk with less is full
FOLDER = "dynamodb"
KNOWN = f"{GOOD}/tables.noted"  # how far the tables' journal has come, and what tables there are
IN_IMAGE = Path(__file__).is_relative_to("/etc/localstack")


def open_tables(folder: Path, alone: Callable[[], None]) -> Tables:
    """Return DynamoDB's tables as they were acknowledged, once all state in the folder is known to be readable.

    ``alone`` is called as soon as no other engine can be running on the folder.
    """
    path = folder
    journal = Journal(folder / FOLDER, names.version(), log.warning)
    try:
        if not journal.lock():
            stop(f"another engine is running on {folder}: stop it first")
        alone()
        with tempfile.TemporaryFile(dir=folder):
            pass
        for path in _saved(folder):
            _check(path)
        path = folder / FOLDER
        _check_there(folder)
        tables = Tables(journal)
        tables.load(folder / "dynamodb.json", _known(folder).get("sequence", 0))
        tables.known = folder / KNOWN
        tables.remember()
    except UnreadableError as error:
        refuse(str(error))
    except OSError as error:
        stop(f"the engine cannot keep its state in {path} ({error.strerror}): make it a folder that can be written to")
    return tables


def _check_there(folder: Path) -> None:
    """Raise UnreadableError if there is state, and nothing of the tables, which are written first."""
    if not any(history(folder / FOLDER)) and not (folder / "dynamodb.json").exists():
        for path in [folder / GOOD, *_saved(folder)]:
            if path.exists():
                raise UnreadableError(folder / FOLDER, f"has no tables, and there is {path}")


def _saved(folder: Path) -> list[Path]:
    """Return the files in which the services' states are saved."""
    return [path for path in sorted(folder.glob("*.json")) if path.stem in names.services()]


def _known(folder: Path) -> dict[str, Any]:
    """Return what was noted of the tables apart from them, as far as it can be read."""
    try:
        return dict(json.loads((folder / KNOWN).read_bytes()))
    except (OSError, ValueError):
        return {}


def _check(path: Path) -> None:
    """Raise UnreadableError unless MiniStack will read what it saved for a service."""
    try:
        saved = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DamagedError(path, getattr(error, "pos", 0), "it is not JSON") from error
    if not isinstance(saved, dict) or not isinstance(saved.get("payload", {}), dict):
        raise DamagedError(path, 0, "it is not what was saved")
    known = names.format_version(path.stem)
    if saved.get("__ministack_format__", 0) > known:
        raise UnreadableError(path, f"has format {saved['__ministack_format__']}, and this engine reads {known}")


def restore_services(folder: Path) -> None:
    """Load every service's state, and keep a copy of it; end the engine if one fails, where MiniStack would go on."""
    for path in names.code_folder().glob("*.zip"):
        if SHA256.fullmatch(path.stem) and hashlib.sha256(path.read_bytes()).hexdigest() != path.stem:
            path.replace(path.with_suffix(".damaged"))  # or else it would be taken for the code that is deployed next
            log.warning("%s was not what it is named after, and is put aside", path)
    for service in names.services():
        try:
            names.restore_service(service)
        except Exception as error:  # whatever a service makes of it
            refuse(f"the saved state of {service}, {folder}/{service}.json, cannot be used: {error!r}")
    for name in names.fail_functions_without_code():
        log.warning(
            "the code of function %s is lost: it has to be deployed again, as the build does with its own", name
        )
    (folder / GOOD).mkdir(exist_ok=True)
    for path in _saved(folder):
        draft = folder / GOOD / f"{path.name}.draft"
        shutil.copy2(path, draft)
        draft.replace(folder / GOOD / path.name)


def refuse(why: str) -> None:
    """End the engine: one line that says why, and the two ways out."""
    if IN_IMAGE:
        restore, wipe = "docker compose run --rm localstack restore", "docker compose down --volumes"
    else:
        folder = shlex.quote(os.environ["STATE_DIR"])
        restore, wipe = f"STATE_DIR={folder} .venv/bin/python -m stack.ministack restore", "scripts/down.sh --wipe"
    stop(
        f"{why}. It was left untouched, and nothing was started. "
        f"To go on with what can be read of it, and the last good copy of the rest: {restore}. "
        f"To forget all data: {wipe}"
    )


def stop(why: str) -> None:
    """End the process at once, even where a service or the event loop would catch an exception."""
    sys.stdout.flush()
    print(f"error: {why}", file=sys.stderr, flush=True)
    os._exit(1)


def problem(folder: Path) -> str:
    """Return why nothing can be written in the folder, or an empty string."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(LEAST))
            file.flush()
    except OSError as error:
        return f"{folder} cannot be written to ({error.strerror})"
    return ""


def restore(folder: Path) -> None:
    """Put what cannot be read aside, and in its place what can be, or the last good copy; say what is lost."""
    if not Journal(folder / FOLDER, names.version(), log.warning).lock():
        stop("the engine is running: stop it first")
    aside = folder / time.strftime("damaged-%Y%m%dT%H%M%S")

    def put_aside(path: Path) -> None:
        aside.mkdir(exist_ok=True)
        shutil.move(path, aside)
        print(f"==> {path} is now in {aside}")

    for path in _saved(folder):
        try:
            _check(path)
            names.restore_service(path.stem)
        except Exception:  # whatever a service makes of it; it is said when the engine starts
            put_aside(path)
            copy = folder / GOOD / path.name
            if copy.exists():
                shutil.copy2(copy, path)
                print(f"==> {path} is the copy of {time.ctime(copy.stat().st_mtime)}")
    known = _known(folder)
    try:
        _check_there(folder)
        load(folder / FOLDER, names.version(), lambda *_: None, known.get("sequence", 0))
    except UnreadableError as error:
        print(f"==> {error}")
        salvage = Salvage(folder / FOLDER, names.version(), known)
        salvage.replace(aside)
        (folder / KNOWN).unlink(missing_ok=True)
        print(f"==> what can be read of it is kept; the files themselves are now in {aside}")
        for line in salvage.report():
            print(f"==> {line}")
