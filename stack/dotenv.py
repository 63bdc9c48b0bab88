"""The settings of .env, .env.local and the environment, the last of which wins.

As a program it prints them as shell assignments, for ``eval``.
"""

import os
import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
FILES = (".env", ".env.local")
ASSIGNMENT = re.compile(
    r"""(?:export[ ]+)?(?P<name>\w+)=                       # a name,
    (?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<bare>.*?))  # a value, in quotes or bare,
    (?:\s+\#.*)?\s*""",  # and perhaps a comment
    re.VERBOSE,
)


class SettingsError(Exception):
    """A line of a settings file is not NAME=VALUE; the message says which."""


def load(environment: Mapping[str, str] = os.environ, project: Path = PROJECT) -> dict[str, str]:
    """The value of every setting that .env or .env.local names; raises SettingsError."""
    settings: dict[str, str] = {}
    for name in FILES:
        path = project / name
        if path.exists():
            settings |= read(path)
    return {name: environment.get(name, value) for name, value in settings.items()}


def read(path: Path) -> dict[str, str]:
    """The settings of one file; raises SettingsError."""
    settings = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = ASSIGNMENT.fullmatch(line.strip())
        if found is None:
            raise SettingsError(f"{path.name}, line {number}: expected NAME=VALUE, found {line.strip()!r}")
        settings[found["name"]] = found["double"] or found["single"] or found["bare"] or ""
    return settings


if __name__ == "__main__":
    try:
        for name, value in load().items():
            print(f"export {name}={shlex.quote(value)}")
    except SettingsError as error:
        sys.exit(f"error: {error}")
