"""Install the functions' packages for this Python, which runs their tests: ``python -m stack.commands.packages``.

``python -m stack.commands.packages FUNCTION`` prints the folder that they are in, if the function asks for some.
"""

import sys

from stack import packages
from stack.errors import PackageError
from stack.settings import PROJECT

LAMBDAS = PROJECT / "lambdas"


def main(names: list[str]) -> int:
    """Install or print; return 0, or 1 with one line on stderr."""
    try:
        if not names:
            packages.install(LAMBDAS, packages.own())
        for name in names:
            print(packages.find(LAMBDAS, name, packages.own()) or "")
    except PackageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
