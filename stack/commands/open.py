"""Open the page in the browser, signed in: ``python -m stack.commands.open [USER]``."""

import os
import shlex
import subprocess
import sys
import webbrowser

from stack.commands import engines
from stack.errors import DeployError
from stack.outputs import API_URL_FILE
from stack.settings import PROJECT, Settings


def main() -> None:
    """Open the page of the stack that is up. Raises DeployError if none is, or if there is no browser."""
    settings = Settings.from_environment(os.environ)
    file = settings.outputs / API_URL_FILE
    try:
        page = f"{file.read_text().strip()}/"
    except OSError:
        raise DeployError(
            f"no stack is up, or its last build failed ({file} is missing): run scripts/up.sh first"
        ) from None
    signer = [sys.executable, str(PROJECT / "scripts/sign-token.py"), *sys.argv[1:2]]
    signed = subprocess.run(signer, stdout=subprocess.PIPE, text=True)
    if signed.returncode:
        sys.exit(1)  # it has said why
    if not webbrowser.open(f"{page}#token={signed.stdout.strip()}"):
        command = " ".join(["scripts/sign-token.py", *map(shlex.quote, sys.argv[1:2])])
        raise DeployError(f"no browser opens here: open {page} and paste the token of {command}")
    print(f"==> opened {page}")


if __name__ == "__main__":
    sys.exit(engines.run(main))
