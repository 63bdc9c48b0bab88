"""The engine's log: what the hooks print, what goes wrong, and little else, unless LOG_LEVEL is DEBUG."""

import logging
import os
import re
from pathlib import Path

HOOK_PRINTED = re.compile(r" *stdout: \n?")
HOOK_STARTS = ("Running init script:", "Running ready script:")
HOOK_FAILED = re.compile(r"(?:Init|Ready) script .*? failed \(exit \d+\): (.*^error: .*)", re.DOTALL | re.MULTILINE)


class Filter(logging.Filter):
    """Let through what the hooks print, as they print it, and every warning and error."""

    def filter(self, record: logging.LogRecord) -> bool:
        starts = str(record.msg).startswith(HOOK_STARTS)
        return record.levelno >= logging.WARNING or record.name == __name__ or starts or _is_of_a_hook(record)


class Formatter(logging.Formatter):
    """Print a line as it is; a warning or an error with its level and where it comes from."""

    def format(self, record: logging.LogRecord) -> str:
        if _is_of_a_hook(record):
            return HOOK_PRINTED.sub("", record.getMessage(), count=1)
        if str(record.msg).startswith(HOOK_STARTS):
            return f"==> running {Path(record.getMessage()).name}"
        if failed := HOOK_FAILED.fullmatch(record.getMessage()):
            return failed[1].strip()  # what the hook has said
        if record.name == __name__ and record.levelno < logging.WARNING:
            return f"==> {record.getMessage()}"
        return super().format(record)


def _is_of_a_hook(record: logging.LogRecord) -> bool:
    return record.name == "ministack" and str(record.msg).startswith("  stdout:")


log = logging.getLogger(__name__)


def set_up() -> None:
    """Keep MiniStack's own lines out of the log, unless LOG_LEVEL is DEBUG."""
    if os.environ.get("LOG_LEVEL", "").upper() == "DEBUG":
        return
    for handler in logging.getLogger().handlers:
        handler.addFilter(Filter())
        handler.setFormatter(Formatter("%(levelname)s [%(name)s] %(message)s"))
    logging.getLogger("hypercorn.error").setLevel(logging.WARNING)
