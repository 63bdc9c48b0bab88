#!/usr/bin/env python3
"""Print a token for the API, good for one hour: sign-token.py [USER] [SECRET]"""

# Any Python 3 can read this file, since "python3" may be an old one.
import os
import shutil
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
NEW_ENOUGH = "import sys; sys.exit(sys.version_info < (3, 11))"


def find_python() -> "str | None":
    """Return a Python that is 3.11 or newer, or None."""
    if sys.version_info >= (3, 11):  # noqa: UP036 # see above
        return sys.executable
    for name in (str(PROJECT / ".venv/bin/python"), "python3.14", "python3.13", "python3.12", "python3.11"):
        path = shutil.which(name)
        if path and subprocess.call([path, "-E", "-c", NEW_ENOUGH], stderr=subprocess.DEVNULL) == 0:
            return path
    return None


if __name__ == "__main__":
    python = find_python()
    if not python:
        sys.exit("error: Python 3.11 or newer is needed: install it")
    os.chdir(str(PROJECT))
    # -E: the variables that change how Python starts were set for another program.
    os.execv(python, [python, "-E", "-X", "utf8", "-m", "stack.commands.token", *sys.argv[1:]])  # noqa: S606
