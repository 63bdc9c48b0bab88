"""Print the requirements of dependency groups of pyproject.toml, each once, a line each."""

import sys
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parent.parent.parent / "pyproject.toml"

if __name__ == "__main__":
    groups = tomllib.loads(PYPROJECT.read_text())["dependency-groups"]
    print("\n".join(dict.fromkeys(line for name in sys.argv[1:] for line in groups[name])))
