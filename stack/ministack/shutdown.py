"""What the engine does last, in Docker and without: no process and no outputs of its own stay behind."""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from stack import outputs

reports: list[Callable[[str], object]] = [lambda why: print(f"error: {why}", file=sys.stderr, flush=True)]

UNSAVED = "the engine has stopped, but not everything could be saved"
CHILDREN_TIMEOUT = 5  # seconds
POLL_EVERY = 0.05  # seconds


def leave_nothing_behind(folder: Path, port: int) -> None:
    """End the hooks and workers, and then withdraw the outputs: a hook that goes on would publish a dead URL."""
    stop_children()
    outputs.withdraw(folder, port)


def report_unsaved(why: str) -> None:
    """Say what could not be saved, wherever that is possible: on a full disk the log may not be."""
    for report in reports:
        with contextlib.suppress(OSError):
            report(why)


def stop_children() -> None:
    """End the other processes of the engine's own process group, and wait for them."""
    if os.getpgrp() != os.getpid():
        return
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(0, signal.SIGTERM)
    deadline = time.monotonic() + CHILDREN_TIMEOUT
    with contextlib.suppress(ChildProcessError):  # none is left
        while time.monotonic() < deadline:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(POLL_EVERY)
