"""Read the settings of .env, .env.local and the environment, the last of which wins.

Compose reads .env too, in a dialect of its own. What is accepted here means the same there, to the
letter; what could differ is refused, with its line and how to write it.

As a program it prints the settings as shell assignments, for ``eval``.
"""

import difflib
import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from stack.errors import SettingError
from stack.settings import PROJECT, SETTINGS, Settings

FILES = (".env", ".env.local")
NAMES = [setting.name for setting in SETTINGS]
COMPOSE_OWN = ("COMPOSE_", "DOCKER_")  # what Compose and the Docker CLI read for themselves
ASSIGNMENT = re.compile(r"(?:export[ \t]+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)=(?P<value>.*)")
VALUE = re.compile(
    r"""(?: '(?P<single>(?:[^'\\]|\\(?!'))*)' | "(?P<double>[^"\\$]*)" )(?:[ \t]+\#.*)?  # in quotes, then a comment
    | (?:(?P<bare>[^'"\s\#$][^$]*?)(?:[ ]+\#.*)?)?                                       # or bare, then a comment
    """,
    re.VERBOSE,
)


def load(environment: Mapping[str, str] = os.environ, project: Path = PROJECT) -> dict[str, str]:
    """Return the value of every setting, and of Compose's own variables in the files. Raise SettingError."""
    written: dict[str, str] = {}
    for name in FILES:
        written |= read(project / name)
    written |= {name: environment[name] for name in (*NAMES, *written) if name in environment}
    return written | {setting.name: setting.text(written) for setting in SETTINGS}


def read(path: Path) -> dict[str, str]:
    """Return what one file assigns; nothing if there is no such file. Raise SettingError."""
    assigned = {}
    for number, line in _lines(path):
        place = f"{path.name}, line {number}"
        found = ASSIGNMENT.fullmatch(line)
        if found is None:
            raise SettingError(f"{place}: expected NAME=VALUE, found {line!r}: write it without spaces around the =")
        name, value = found["name"], VALUE.fullmatch(found["value"])
        if name not in NAMES and not name.startswith(COMPOSE_OWN):
            raise SettingError(f"{place}: {name} is no setting: {_likely(name)}")
        text = "" if value is None else value["single"] or value["double"] or value["bare"] or ""
        if value is None or not text.isprintable():
            raise SettingError(f"{place}: the value of {name} {_remedy(found['value'])}")
        assigned[name] = text
    return assigned


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the number and text of each line that is neither empty nor a comment."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return
    except OSError as error:
        raise SettingError(
            f"{path.name} cannot be read ({error.strerror}): make it a file that you may read"
        ) from error
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        try:
            text = line.removesuffix(b"\r").decode().strip(" \t")
        except UnicodeDecodeError:
            raise SettingError(f"{path.name}, line {number}: not UTF-8: save the file in that encoding") from None
        if text and not text.startswith("#"):
            yield number, text


def _likely(name: str) -> str:
    """Return what to do about a name that is no setting."""
    likely = difflib.get_close_matches(name.upper(), NAMES, n=1)
    question = f"did you mean {likely[0]}? " if likely else ""
    return f"{question}What a Compose file of your own needs belongs in another file, which COMPOSE_ENV_FILES names"


def _remedy(value: str) -> str:
    """Return what is wrong with a value, and how to write it."""
    if not value.isprintable():
        return "has a control character or an invisible one: remove it"
    if value.startswith("#"):
        return "begins with #: put it in single quotes"
    if value[0] in " \t":
        return "begins with a space: write it without spaces around the =, or put it in quotes"
    inner = value[1 : value.rfind(value[0])] if value[0] in "'\"" else value
    if "'" in inner and ("$" in inner or "\\" in inner):
        return "has both ' and one of $ and \\, which .env cannot express: choose another, or set it in the environment"
    if "$" in inner and value[0] != "'":
        return "has a $, which Compose would replace: put it in single quotes"
    if "\\" in inner and value[0] == '"':
        return "has a \\ in double quotes: put it in single quotes"
    return "must end where its quotes end, on the same line; if it has a quote in it, use the other kind around it"


def main() -> int:
    """Print every setting as a shell assignment: 0, or 1 with one line on stderr for an invalid one."""
    try:
        settings = load()
        Settings.from_environment(settings)
    except SettingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for name, value in settings.items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
