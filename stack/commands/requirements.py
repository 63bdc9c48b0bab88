"""Print the requirements of dependency groups of pyproject.toml, each once, a line each.

With ``--missing``, print instead those of the groups that .venv does not have as they are now.
"""

import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent.parent


def missing(groups: dict[str, list[str]], names: list[str]) -> list[str]:
    """Return the groups whose requirements are others than those that .venv/installed-GROUP notes."""
    return [name for name in names if _noted(name) != groups[name]]


def _noted(name: str) -> list[str] | None:
    try:
        return (PROJECT / f".venv/installed-{name}").read_text().splitlines()
    except (OSError, ValueError):  # there is none, or none that can be read
        return None


if __name__ == "__main__":
    groups = tomllib.loads((PROJECT / "pyproject.toml").read_text())["dependency-groups"]
    if sys.argv[1] == "--missing":
        print("\n".join(missing(groups, sys.argv[2:])))
    else:
        print("\n".join(dict.fromkeys(line for name in sys.argv[1:] for line in groups[name])))
